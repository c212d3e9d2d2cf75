"""What programs call: loggers, decorators, `ErrorCapture`."""
