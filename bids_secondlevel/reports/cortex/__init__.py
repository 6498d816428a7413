"""Pictures of maps and ROIs on the cortex."""
