"""`tfds:NAME`: any set of images and classes that TFDS has prepared on this machine, read without TensorFlow."""

from pathlib import Path

from jaxcnn.config import DataConfig
from jaxcnn.data.cache import identity
from jaxcnn.data.source import Build, Source


def find(argument: str, config: DataConfig) -> Source:
    """Find the set in `directory`, by default TFDS's own data directory."""
    if not argument:
        raise ValueError("`tfds` needs the name of a set: give it as tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION")
    from jaxcnn.data import tfds_reader

    builder = tfds_reader.open_builder(argument, None if config.directory is None else Path(config.directory))
    folder = Path(builder.data_path)
    files = tuple(sorted(file for file in folder.iterdir() if file.is_file()))

    def build(work: Path) -> Build:
        return tfds_reader.read(builder, config, work)

    return Source(build, identity(files), f"{folder.resolve()} {config.size} {config.resize} {config.colour}")
