"""`framefan doctor`: checks whether a run would work. Begin with examine.py."""
