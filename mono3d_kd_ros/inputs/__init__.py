"""What nodes listen to: subscriptions, calibration, transforms, arrays of the same image."""
