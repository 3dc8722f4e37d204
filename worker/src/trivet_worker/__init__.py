"""The program that runs one model in its own environment, and the tensor conversion that it shares with the platform."""
