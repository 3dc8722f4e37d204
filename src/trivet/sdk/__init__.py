"""What `from trivet import Client` gives: the user's objects over the control API and the gateway."""
