"""Video in, video out, frame by frame (PyAV; `pip install "pix2pix[video]"`).

Frames keep their order and times, are turned as a player shows them, and go through the translator one small
group at a time, so that memory does not grow with the length. The result is an mp4: H.264 where the installed
PyAV has x264, else MPEG-4. Those codecs store colour at half the resolution, so that a frame of odd width or
height gets one more column or row, which repeats its last. Sound is copied where mp4 can hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix import images
from pix2pix.errors import ConfigError, ImageError
from pix2pix.files import remove_leftovers, replacing

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"))
COPIED_SOUND = frozenset(("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"))
"""What players expect inside an mp4."""
GROUP = 4
CRF = 18
"""x264's constant rate factor: 0 lossless, 18 hard to tell from the frames, 23 x264's default, 51 worst."""
DEFAULT_RATE = Fraction(25)


def require_av() -> Any:
    """PyAV, or a ConfigError that says how to get it."""
    try:
        import av
    except ImportError as error:
        raise ConfigError('videos need PyAV; run: pip install "pix2pix[video]"') from error
    return av


def comment_of(path: Path) -> str:
    """The comment in a video's header, or nothing."""
    with require_av().open(str(path)) as container:
        return str(container.metadata.get("comment", ""))


def translate_video(
    translate: Callable[[list[Image.Image]], list[Image.Image]],
    source: Path,
    target: Path,
    *,
    crf: int = CRF,
    comment: str = "",
    group: int = GROUP,
    progress: Callable[[float], None] = lambda share: None,
) -> list[str]:
    """Translate every frame; `target` (.mp4) is written whole or not at all. Returns what is to be known.

    `translate` must draw equal frames equally (a fixed seed), or the video flickers. Raises ImageError for a
    file that is no video, or is damaged.
    """
    av = require_av()
    if not source.is_file():
        raise ImageError(f"{source}: no such file. Check the path.")
    try:
        remove_leftovers(target)
        with av.open(str(source)) as reader, replacing(target) as temporary:
            if not reader.streams.video:
                raise ImageError(f"{source}: there are no pictures in it. Remove it.")
            with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as writer:
                if comment:
                    writer.metadata["comment"] = comment
                work = _Translation(av, reader, writer, translate, crf, group, progress)
                work.run()
                if work.written == 0:
                    raise ImageError(f"{source}: it has no frames. Replace or remove it.")
        return work.notes
    except av.FFmpegError as error:
        raise ImageError(f"{source}: cannot be read to its end ({error}). Replace or remove it.") from error


@dataclass
class _Translation:
    """One video on its way."""

    av: Any
    reader: Any
    writer: Any
    translate: Callable[[list[Image.Image]], list[Image.Image]]
    crf: int
    group: int
    progress: Callable[[float], None]
    notes: list[str] = field(default_factory=list)
    written: int = 0

    def run(self) -> None:
        video = self.reader.streams.video[0]
        video.thread_type = "AUTO"
        sounds = self._copied_sounds()
        frames: list[Any] = []
        held: list[Any] = []  # sound that comes before the size of the pictures is known
        output = None
        for packet in self.reader.demux([video, *sounds]):
            if packet.stream is not video:
                if packet.dts is not None:
                    held.append(packet)
            else:
                frames += packet.decode()
            ended = packet.stream is video and packet.dts is None
            if len(frames) < self.group and not (ended and frames):
                continue
            if output is None:
                output = self._output(video, frames[0])
                copies = {sound: self.writer.add_stream_from_template(sound) for sound in sounds}
            for start in range(0, len(frames), self.group):
                self._draw(frames[start : start + self.group], video, output)
            frames = []
            self._copy(held, copies)
        if output is not None:
            self.writer.mux(output.encode())
            self._copy(held, copies)

    def _copied_sounds(self) -> list[Any]:
        streams = self.reader.streams.audio
        kept = [stream for stream in streams if stream.codec_context.name in COPIED_SOUND]
        if len(kept) < len(streams):
            names = sorted({s.codec_context.name for s in streams if s not in kept})
            self.notes.append(f"its sound ({', '.join(names)}) is left out: an mp4 cannot hold it")
        return kept

    def _copy(self, held: list[Any], copies: dict[Any, Any]) -> None:
        for packet in held:
            packet.stream = copies[packet.stream]
            self.writer.mux(packet)
        held.clear()

    def _output(self, video: Any, frame: Any) -> Any:
        """The stream to write, of the first frame's size and the video's own clock."""
        rate = video.average_rate or video.guessed_rate or DEFAULT_RATE
        try:
            stream = self.writer.add_stream("libx264", rate=rate, options={"crf": str(self.crf)})
        except (ValueError, self.av.FFmpegError):  # a PyAV that was built without x264
            stream = self.writer.add_stream("mpeg4", rate=rate, options={"q:v": str(2 + self.crf // 6)})
            self.notes.append("written as MPEG-4: this PyAV has no H.264")
        picture = _upright(frame)
        stream.width, stream.height = (side + side % 2 for side in picture.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        clock = video.time_base
        # MPEG-4 counts at most 65535 ticks a second.
        context.time_base = clock if context.name == "libx264" or clock.denominator < 65536 else 1 / rate
        # Said in the file, so that no player has to guess how YUV becomes RGB.
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        ratio = video.sample_aspect_ratio  # of pixels that are not square
        if ratio and ratio != 1:
            context.sample_aspect_ratio = 1 / ratio if frame.rotation % 180 else ratio
        return stream

    def _draw(self, frames: Sequence[Any], video: Any, stream: Any) -> None:
        pictures = [_upright(frame) for frame in frames]
        for frame, drawn in zip(frames, self.translate(pictures), strict=True):
            made = self._frame(drawn, stream)
            made.time_base = frame.time_base or video.time_base
            made.pts = frame.pts if frame.pts is not None else self._counted(made.time_base, video)
            self.writer.mux(stream.encode(made))
            self.written += 1
        self.progress(self._share(frames[-1], video))

    def _counted(self, time_base: Fraction, video: Any) -> int:
        """The time of a frame that has none: by its number."""
        return round(self.written / (video.average_rate or DEFAULT_RATE) / time_base)

    def _share(self, frame: Any, video: Any) -> float:
        if video.frames:
            return min(1.0, self.written / video.frames)
        length = self.reader.duration  # microseconds, where the file says so
        return min(1.0, frame.time * 1e6 / length) if length and frame.time is not None else 0.0

    def _frame(self, drawn: Image.Image, stream: Any) -> Any:
        array = np.asarray(images.to_rgb(drawn))
        if array.shape[:2] != (stream.height, stream.width):
            below, right = stream.height - array.shape[0], stream.width - array.shape[1]
            if not (0 <= below <= 1 and 0 <= right <= 1):
                raise ImageError(
                    f"frame {self.written} has {array.shape[1]}x{array.shape[0]} pixels in a video that "
                    f"begins with {stream.width}x{stream.height}: frames of one video have one size"
                )
            array = np.pad(array, ((0, below), (0, right), (0, 0)), mode="edge")
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
        return frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")


def _upright(frame: Any) -> Image.Image:
    """A decoded frame as RGB, turned as a player shows it."""
    unspecified = int(frame.colorspace) == 2  # then players go by the height
    space = ("ITU709" if frame.height >= 720 else "ITU601") if unspecified else None
    picture = Image.fromarray(frame.reformat(format="rgb24", src_colorspace=space).to_ndarray())
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    steps = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
    return picture.transpose(steps[turns]) if turns else picture


def frames_of(path: Path) -> Iterator[Image.Image]:
    """Every frame of a video, upright."""
    with require_av().open(str(path)) as container:
        for frame in container.decode(video=0):
            yield _upright(frame)
