"""Shards of videos: packets, frames and groups of pictures."""

from .arrow import SHARD_COLUMNS
from .checks import check
from .tensor_shard import TensorShard

CODECS = "h264 hevc vvc av1 vp9 mpeg4 mpeg2video mpeg1video mjpeg png".split()
KEYFRAME, DISPOSABLE, DISCARD = 1, 2, 4


class Shard(TensorShard):
    """One shard; as a shard of tensors, with a video in each record."""

    COLUMNS, KIND = SHARD_COLUMNS, b"shard-index/1"

    def _check_video(self, row):
        check(row["codec"] in CODECS, "codec {}", row["codec"])
        check(row["reorder_frames"] <= 64, "reorder_frames")
        check(1 <= row["width"] <= 65535 and 1 <= row["height"] <= 65535, "size")
        for name in ("sample_aspect_num", "sample_aspect_den", "time_base_num", "time_base_den"):
            check(row[name] > 0, "{} is 0", name)
        check(row["quarter_turns"] <= 3, "quarter_turns")
        check(row["color_range"] in ("limited", "full"), "color_range")
        check(row["chroma_location"] in ("left", "center", "topleft"), "chroma_location")
        self._check_packets(row)
        self._check_frames(row)
        self._check_gops(row)

    @staticmethod
    def _check_packets(row):
        position = row["video"]["offset"]
        end = position + row["video"]["size"]
        dts = -(2**63)
        check(len(row["packets"]) >= 1, "no packets")
        for number, packet in enumerate(row["packets"]):
            check(packet["size"] >= 1 and packet["offset"] >= position, "packet {} overlaps", number)
            position = packet["offset"] + packet["size"]
            check(position <= end, "packet {} is outside the MP4", number)
            check(packet["dts"] >= dts, "dts of packet {} falls", number)
            dts = packet["dts"]
            check(max(abs(packet["pts"]), abs(dts)) <= 2**61, "times of packet {}", number)
            check(not (packet["flags"] & DISPOSABLE and packet["flags"] >> 4), "flags of packet {}", number)

    @staticmethod
    def _check_frames(row):
        packets, order = row["packets"], row["frame_packets"]
        check(len(order) >= 1 and len(order) == row["frames"], "{} frames", len(order))
        check(len(set(order)) == len(order) and max(order) < len(packets), "frame_packets")
        check(not any(packets[number]["flags"] & DISCARD for number in order), "a frame of a discarded packet")
        pts = [packets[number]["pts"] for number in order]
        check(all(a < b for a, b in zip(pts, pts[1:])), "pts of the frames do not rise")
        check(row["duration"] > pts[-1] - pts[0], "duration {}", row["duration"])

    @staticmethod
    def _check_gops(row):
        packets = row["packets"]
        frame_of = {packet: frame for frame, packet in enumerate(row["frame_packets"])}
        following = 0
        for number, gop in enumerate(row["gops"]):
            check(gop["first_packet"] == following and gop["num_packets"] >= 1, "packets of GOP {}", number)
            following += gop["num_packets"]
            check(following <= len(packets), "GOP {} ends at packet {}", number, following)
            inside = packets[gop["first_packet"] : following]
            check(number == 0 or inside[0]["flags"] & KEYFRAME, "GOP {} starts without a keyframe", number)
            position = gop["offset"]
            for packet in inside:
                check(packet["offset"] == position, "gap in GOP {}", number)
                position += packet["size"]
            check(position - gop["offset"] == gop["size"], "size of GOP {}", number)
            frames = [frame_of[n] for n in range(gop["first_packet"], following) if n in frame_of]
            check(gop["first_frame"] == min(frames, default=row["frames"]), "first frame of GOP {}", number)
        check(following == len(packets), "GOPs end at packet {}", following)
