"""The middleware as a browser and an application see it."""
