"""What a package is, one file a convention; nothing of a package runs here."""
