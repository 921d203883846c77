"""Recipes, data modules and Lightning modules."""
