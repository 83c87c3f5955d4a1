"""What version is this? Nothing else: user images and hubs import this package for different halves."""

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
