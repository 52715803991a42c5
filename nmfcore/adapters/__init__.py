"""The edges: files, configuration, figures, report and tracking around the numerical core."""
