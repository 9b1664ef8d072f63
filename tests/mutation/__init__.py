"""Deliberately broken builds of the core, and the tests that must notice."""
