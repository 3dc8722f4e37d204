"""The SDK: objects over the control API and the gateway, behind `from trivet import Client`."""
