"""What the project's speed and memory are measured with, side by side in one run; no part of the library."""
