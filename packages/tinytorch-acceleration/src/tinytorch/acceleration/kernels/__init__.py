"""The kernels, registered when their modules are imported."""
