"""From flags, environment variables and a TOML file to one Settings record."""
