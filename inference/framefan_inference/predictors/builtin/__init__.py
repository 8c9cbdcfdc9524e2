"""Predictors that come with framefan."""
