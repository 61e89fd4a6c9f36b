"""Networks, modules and data as users write them: the reference's own example, smaller."""

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx


class Net(nnx.Module):
    """With what behaves otherwise in training: batch statistics and dropout."""

    def __init__(self, n_in=6, n_out=None, seed=0):
        rngs = nnx.Rngs(seed)
        self.layers = nnx.List([nnx.Linear(n_in, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)])
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.last = nnx.Linear(8, n_out or n_in, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.last(self.dropout(nnx.relu(x)))


class OwnModule(nnx.Module):
    """As in the document: called, it gives the error, not the reconstruction."""

    def __init__(self, n_in=6):
        self.model = Net(n_in)

    def __call__(self, x):
        return x - self.model(x)

    def training_step(self, batch, _step):
        x, y = batch
        mse = jnp.mean((self.model(x) - y) ** 2)
        return {"loss": mse, "mae": jnp.abs(self.model(x) - y).mean()}

    def validation_step(self, batch, step):
        return self.training_step(batch, step)

    def test_step(self, batch, step):
        return self.training_step(batch, step)

    def configure_optimizers(self):
        return optax.adam(1e-3)


class OwnData:
    """As in the document: it is split whenever it is set up."""

    def __init__(self, x, y=None, batch_size=32):
        self.x, self.y, self.batch_size = x, x if y is None else y, batch_size
        self.rng, self.times = np.random.default_rng(0), 0

    def setup(self):
        self.times += 1
        order = self.rng.permutation(len(self.x))
        self.test, self.validation, self.train = np.split(order, [20, 35])

    def _blocks(self, cells):
        for start in range(0, len(cells), self.batch_size):
            block = cells[start : start + self.batch_size]
            yield self.x[block], self.y[block]

    def train_batches(self):
        return self._blocks(self.rng.permutation(self.train))

    def val_batches(self):
        return self._blocks(self.validation)

    def test_batches(self):
        return self._blocks(self.test)
