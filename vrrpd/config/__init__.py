"""Configuration: one typed model (``model``) that keepalived.conf files and the environment are turned into."""
