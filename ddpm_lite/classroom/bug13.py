r"""To come."""
