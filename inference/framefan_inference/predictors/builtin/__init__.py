"""The built-in predictors."""
