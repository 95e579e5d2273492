"""The one template that hosts every Dashcell server."""
