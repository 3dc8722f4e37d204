"""The control API: what users want of the platform, written down in the catalog and the blob store."""
