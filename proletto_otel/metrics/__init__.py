"""What is measured and how it is read: psutil, user instruments, exposition."""
