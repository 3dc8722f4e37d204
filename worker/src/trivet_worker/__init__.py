"""The program that runs one model in its own environment, and the tensor view that it shares with the platform."""
