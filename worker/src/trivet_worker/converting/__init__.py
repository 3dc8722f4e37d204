"""The program of a conversion: it runs in a worker, in an environment that has the converter beside the framework."""
