"""`framefan doctor`: what would keep a run from working. examine.py first."""
