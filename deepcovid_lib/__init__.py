"""Deep-COVID companion: curate chest X-rays, fine-tune networks, compute the numbers of Minaee et al. (2020)."""

__version__ = "0.1.0"
