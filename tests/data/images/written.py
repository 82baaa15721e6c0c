"""Files of microscopes and videos as other programs write them, for tests."""

import json
import struct

import numpy as np
import tensorstore


def write_zarr(
    folder, truth: np.ndarray, version: str, axes: str = "tczyx", chunks=None
) -> None:
    """Two levels of u16 [..., H, W], 0.5 um a pixel, by tensorstore.

    `chunks` of version 0.4; an image that is there is overwritten.
    """
    for level, array in enumerate((truth, truth[..., ::2, ::2])):
        options = {"dtype": "<u2"} if version == "0.4" else {"data_type": "uint16"}
        options |= {"chunks": chunks} if chunks else {}
        store = tensorstore.open(
            {
                "driver": "zarr" if version == "0.4" else "zarr3",
                "kvstore": {"driver": "file", "path": str(folder / str(level))},
                "metadata": {"shape": array.shape, **options},
                "create": True,
                "delete_existing": True,
            }
        )
        store.result().write(array).result()
    kinds = {"t": "time", "c": "channel"}
    names = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    for one in names[-2:]:
        one["unit"] = "micrometer"
    levels = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0] * (len(axes) - 2) + [step, step]}
            ],
        }
        for level, step in enumerate((0.5, 1.0))
    ]
    window = {"start": 0, "end": 9, "min": 0, "max": 9}
    channels = [
        {"label": label, "color": "FFFFFF", "window": window, "active": True}
        for label in ("DAPI", "GFP")
    ]
    about = {"multiscales": [{"axes": names, "datasets": levels}]}
    about |= {"omero": {"channels": channels}} if "c" in axes else {}
    if version == "0.4":
        about["multiscales"][0]["version"] = version
        (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
        (folder / ".zattrs").write_text(json.dumps(about))
    else:
        about = {"ome": {"version": version} | about}
        group = {"zarr_format": 3, "node_type": "group", "attributes": about}
        (folder / "zarr.json").write_text(json.dumps(group))


def video(file, codec: str, pixels: str, frames: np.ndarray, **options) -> None:
    """u8 [T, H, W], by PyAV."""
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], pixels
        stream.options = options
        for frame in frames:
            made = av.VideoFrame.from_ndarray(frame, format="gray")
            container.mux(stream.encode(made.reformat(format=pixels)))
        container.mux(stream.encode(None))


def leica(images: dict[str, np.ndarray], dyes: tuple[str, ...] = ()) -> bytes:
    """A project of u16 [Z, H, W], 0.5 um a pixel; [C, Z, H, W] with a dye a channel.

    The LUT of the first channel is red, of the second green.
    """
    elements, blocks = "", b""
    for i, (name, array) in enumerate(images.items()):
        step, dimensions, channels = 2, "", ""
        for number, count in zip((1, 2, 3), array.shape[:-4:-1], strict=True):
            if count > 1:
                dimensions += (
                    f'<DimensionDescription DimID="{number}" '
                    f'NumberOfElements="{count}" Origin="0" Unit="m" BitInc="0" '
                    f'Length="{(count - 1) * 0.5e-6}" BytesInc="{step}"/>'
                )
            step *= count
        named = zip(("Red", "Green"), dyes or ("",), strict=False)
        for j, (lut, dye) in enumerate(named):
            about = f"<Key>DyeName</Key><Value>{dye}</Value>" if dye else ""
            channels += (
                '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" '
                'NameOfMeasuredQuantity="" Min="0" Max="65535" Unit="" '
                f'LUTName="{lut}" IsLUTInverted="0" BytesInc="{step * j}" BitInc="0">'
                f"<ChannelProperty>{about}</ChannelProperty></ChannelDescription>"
            )
        elements += (
            f'<Element Name="{name}" UniqueID="{i}"><Data><Image><ImageDescription>'
            f"<Channels>{channels}</Channels>"
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{i}"/></Element>'
        )
        words = f"MemBlock_{i}".encode("utf-16-le")
        head = struct.pack("<BQBI", 0x2A, array.nbytes, 0x2A, len(words) // 2)
        blocks += struct.pack("<II", 0x70, len(head + words)) + head + words
        blocks += array.astype("<u2").tobytes()
    text = (
        '<LMSDataContainerHeader Version="2"><Element Name="p" UniqueID="p"><Data>'
        '<Experiment/></Data><Memory Size="0" MemoryBlockID="MemBlock_x"/><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    head = struct.pack("<BI", 0x2A, len(text) // 2)
    return struct.pack("<II", 0x70, len(head + text)) + head + text + blocks


def nikon(array: np.ndarray, channels: list[str], **attributes) -> bytes:
    """A file of u16 [T, Z, C, H, W], 0.25 um a pixel, as version 2.1 has it."""

    def xml(name, value) -> str:
        if isinstance(value, dict):
            inside = "".join(xml(*item) for item in value.items())
            return f'<{name} runtype="CLxListVariant">{inside}</{name}>'
        kinds = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}
        return f'<{name} runtype="{kinds[type(value)]}" value="{value}"/>'

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack("<IIQ", 0x0ABECEDA, len(name), len(data)) + name + data

    times, depths, count, height, width = array.shape
    planes = {
        f"a{i}": {
            "sDescription": name,
            "uiCompCount": 1,
            "pFluorescentProbe": {"m_sName": name},
        }
        for i, name in enumerate(channels)
    }
    z = {"eType": 4, "uLoopPars": {"uiCount": depths, "dZStep": 1.0}}
    t = {"uiCount": times, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}
    about = {
        "ImageAttributes!": {
            "uiWidth": width,
            "uiWidthBytes": width * 2 * count,
            "uiHeight": height,
            "uiComp": count,
            "uiBpcInMemory": 16,
            "uiBpcSignificant": 16,
            "uiSequenceCount": times * depths,
            **attributes,
        },
        "ImageMetadata!": {"eType": 1, "uLoopPars": t, "ppNextLevelEx": {"i0": z}},
        "ImageMetadataSeq|0!": {
            "bCalibrated": True,
            "dCalibration": 0.25,
            "sPicturePlanes": {"uiCount": count, "sPlaneNew": planes},
        },
    }
    chunks = {
        name.encode(): f"<variant>{xml('no_name', value)}</variant>".encode()
        for name, value in about.items()
    }
    frames = array.reshape(-1, count, height, width).transpose(0, 2, 3, 1)
    for i, frame in enumerate(frames):
        data = struct.pack("<d", i) + frame.astype("<u2").tobytes()
        chunks[f"ImageDataSeq|{i}!".encode()] = data
    file = bytearray()
    file += chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1".ljust(64, b"\0"))
    table = b""
    for name, data in chunks.items():
        table += name + struct.pack("<QQ", len(file), len(data))
        file += chunk(name.ljust(4072, b"\0"), data)
    mark = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    end = struct.pack("<Q", len(file))
    file += chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", table + mark + end)
    return bytes(file + mark + end)


def write_czi(
    file, images: np.ndarray, names: tuple[str, ...] = (), leave: int = -1
) -> None:
    """u16 [scene, T, Z, C, H, W], 0.5 um a pixel, without the time `leave`."""
    from pylibCZIrw import czi

    with czi.create_czi(str(file)) as out:
        for scene, t, z, c in np.ndindex(images.shape[:4]):
            if t == leave:
                continue
            out.write(
                images[scene, t, z, c][..., None],
                location=(1000 * scene, 0),
                plane={"T": t, "Z": z, "C": c},
                scene=scene,
            )
        out.write_metadata(
            channel_names=dict(enumerate(names)), scale_x=0.5e-6, scale_y=0.5e-6
        )
