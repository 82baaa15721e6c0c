"""The macro for ImageJ in the real ImageJ, the script for QuPath in the real Groovy.

QuPath itself is in no package: its functions that the script calls are given to it.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from scipy import ndimage

from beadseg.data.annotations.readers import open_vector
from beadseg.data.masks.labels import read_labels, read_points
from tests.inference.bright import beads_image, write_run

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
JARS = [Path("/usr/share/java/ij.jar")]
imagej = next((jar for jar in JARS if jar.exists()), None)
needs_imagej = pytest.mark.skipif(
    imagej is None or not shutil.which("java") or not shutil.which("xvfb-run"),
    reason="needs the packages imagej and xvfb",
)
needs_groovy = pytest.mark.skipif(
    not shutil.which("groovy"), reason="needs the package groovy"
)


@pytest.fixture
def lab(tmp_path):
    """photos/ of two images, a run, and the command as a person has it."""
    folder = tmp_path / "a lab's"
    (folder / "photos").mkdir(parents=True)
    image, labels = beads_image()
    for name in ("one", "two"):
        tifffile.imwrite(folder / "photos" / f"{name}.tif", image)
    run = write_run(tmp_path / "run")
    command = folder / "beadseg"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -c '
        f'"from beadseg import cli; cli.main()" "$@" --run "{run}"\n'
    )
    command.chmod(0o755)
    return folder, labels, command


def in_imagej(macro, argument=""):
    """What a macro prints."""
    command = ["xvfb-run", "-a", "java", "-cp", imagej, "ij.ImageJ", "-batch", macro]
    done = subprocess.run(
        [*map(str, command), argument], capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


@needs_imagej
def test_the_macro_runs_beadseg_and_opens_what_it_found(lab):
    folder, labels, command = lab
    argument = f"{folder / 'photos'}|{folder / 'out'}|{command}|--no-report"
    for _ in range(2):  # the second time it shows what is there
        said = in_imagej(LAUNCH / "beadseg.ijm", argument)
        count = labels.max()
        assert f"one: {count} beads\ntwo: {count} beads" in said
    assert (folder / "out" / "images.csv").is_file()


@needs_imagej
def test_the_macro_says_what_beadseg_says(lab):
    folder, _, command = lab
    argument = f"{folder / 'gone'}|{folder / 'out'}|{command}|--no-report"
    said = in_imagej(LAUNCH / "beadseg.ijm", argument)
    assert "gone: there is no such file" in said


@needs_imagej
def test_rois_are_in_imagej_what_they_are_here(lab):
    """Area, centroid and bounds that ImageJ tells of each are those of the labels."""
    folder, labels, command = lab
    out = folder / "out"
    subprocess.run(
        [command, "predict", folder / "photos" / "one.tif", "-o", out, "--no-report"],
        check=True,
        capture_output=True,
    )
    macro = folder / "read.ijm"
    macro.write_text(
        f'open("{folder / "photos" / "one.tif"}");\n'
        f'roiManager("open", "{out / "rois" / "one.zip"}");\n'
        "for (i = 0; i < roiManager('count'); i++) {\n"
        "    roiManager('select', i);\n"
        "    getSelectionBounds(x, y, w, h);\n"
        "    getStatistics(area, mean);\n"
        "    print(call('ij.plugin.frame.RoiManager.getName', i), x + w / 2, y + h / 2,"
        " area, mean);\n"
        "}\n"
    )
    lines = [line.split() for line in in_imagej(macro).splitlines() if line.strip()]
    found = tifffile.imread(out / "labels" / "one.tif")
    image, _ = beads_image()
    assert len(lines) == labels.max()
    for name, x, y, area, mean in lines:
        pixels = np.argwhere(found == int(name))
        middle = (pixels.min(0) + pixels.max(0) + 1) / 2
        assert (float(y), float(x)) == pytest.approx(middle, abs=0.6)
        assert float(area) == pytest.approx(len(pixels), rel=0.06)
        inside = image[found == int(name)].mean()
        assert float(mean) == pytest.approx(inside, rel=0.05)


DRAWN = """
newImage("truth", "8-bit black", 128, 100, 1);
makeOval(10, 10, 21, 20); roiManager("Add");
makePolygon(50, 10, 75, 14, 70, 35, 52, 30); roiManager("Add");
makeRectangle(90, 12, 13, 9); roiManager("Add");
makeEllipse(20, 60, 48, 70, 0.6); roiManager("Add");
makeSelection("freehand", newArray(60, 80, 85, 70, 61), newArray(50, 48, 66, 80, 70));
roiManager("Add");
makeOval(95, 50, 24, 24); setKeyDown("alt"); makeOval(102, 57, 10, 10);
setKeyDown("none"); roiManager("Add");
makeOval(-6, 84, 20, 20); roiManager("Add");
for (i = 0; i < roiManager("count"); i++) {{
    roiManager("select", i);
    run("Set...", "value=" + i + 1);
    List.setMeasurements;
    setResult("Area", i, List.getValue("Area"));
    setResult("X", i, List.getValue("X"));
    setResult("Y", i, List.getValue("Y"));
}}
roiManager("deselect");
roiManager("save", "{folder}/masks/truth.zip");
saveAs("results", "{folder}/points/truth.csv");
run("Select None");
saveAs("tiff", "{folder}/images/truth.tif");
"""


@needs_imagej
def test_what_imagej_draws_is_read_as_it_fills_it(tmp_path):
    """Ovals, polygons, one with a hole, one over the border; and its table of them."""
    for folder in ("images", "masks", "points"):
        (tmp_path / folder).mkdir()
    (tmp_path / "draw.ijm").write_text(DRAWN.format(folder=tmp_path))
    in_imagej(tmp_path / "draw.ijm")
    image = tmp_path / "images" / "truth.tif"
    (page,) = open_vector(tmp_path / "masks" / "truth.zip", image)
    filled = tifffile.imread(image)
    assert filled.max() == 7
    np.testing.assert_array_equal(read_labels(page), filled)
    (page,) = open_vector(tmp_path / "points" / "truth.csv", image)
    numbers = np.arange(1, 8)
    middles = ndimage.center_of_mass(filled > 0, filled, numbers)
    found, expected = (
        places[places[:, 1].argsort()]
        for places in (read_points(page), np.array(middles))
    )
    np.testing.assert_allclose(found, expected, atol=0.51)  # the pixel it is in


QUPATH = """
class Calibration {{ def getAveragedPixelSizeMicrons() {{ Double.NaN }} }}
class Region {{ boolean isAnnotation() {{ true }} }}
class Server {{
    def getURIs() {{ [new File('{image}').toURI()] }}
    def getMetadata() {{ [getName: {{ 'one' }}] }}
    def getPixelCalibration() {{ new Calibration() }}
}}
abstract class QuPath extends Script {{
    static def read = []
    def getCurrentServer() {{ new Server() }}
    def getSelectedObjects() {{ {selected} }}
    def exportObjectsToGeoJson(objects, String file, String kind) {{
        new File(file).text = new File('{region}').text
    }}
    def importObjectsFromFile(String file) {{
        read = new groovy.json.JsonSlurper().parse(new File(file)).features
    }}
    def fireHierarchyUpdate() {{}}
    def getDetectionObjects() {{ read }}
}}
def settings = new org.codehaus.groovy.control.CompilerConfiguration()
settings.scriptBaseClass = 'QuPath'
def text = new File('{script}').text
text = text.replace('def command = "beadseg"', 'def command = "{command}"')
new GroovyShell(this.class.classLoader, new Binding(), settings).evaluate(text)
"""


@needs_groovy
@pytest.mark.parametrize("selected", [False, True])
def test_the_script_for_qupath_runs_beadseg_and_imports_what_it_found(lab, selected):
    folder, labels, command = lab
    half = [[0, 0], [128, 0], [128, 64], [0, 64], [0, 0]]
    region = folder.parent / "region.geojson"
    properties = {"objectType": "annotation"}
    geometry = {"type": "Polygon", "coordinates": [half]}
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    region.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    plain = folder.rename(folder.with_name("a lab"))
    around = plain.parent / "around.groovy"
    around.write_text(
        QUPATH.format(
            image=plain / "photos" / "one.tif",
            selected="[new Region()]" if selected else "[]",
            region=region,
            script=LAUNCH / "beadseg_qupath.groovy",
            command=plain / command.name,
        )
    )
    java = Path(shutil.which("java")).resolve().parents[1]
    done = subprocess.run(
        ["groovy", str(around)],
        env=os.environ | {"JAVA_HOME": str(java)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    count = labels.max()
    if selected:
        middles = [np.argwhere(labels == n).mean(0)[0] for n in range(1, count + 1)]
        count = sum(round(y) < 64 for y in middles)
    assert f"beadseg: {count} detections" in done.stdout, done.stdout + done.stderr


def test_geojson_is_what_qupath_reads(lab):
    """As its reader asks: features with an objectType that it knows, a class with a
    name and three bytes of colour, measurements as finite numbers by name.
    """
    folder, labels, command = lab
    subprocess.run(
        [command, "predict", folder / "photos", "-o", folder / "out", "--no-report"],
        check=True,
        capture_output=True,
    )
    text = (folder / "out" / "geojson" / "one.geojson").read_text()

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    content = json.loads(text, parse_constant=refuse)
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == labels.max()
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        polygon = shapely.geometry.shape(feature["geometry"])
        assert polygon.is_valid and polygon.geom_type == "Polygon"
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1] and len(ring) > 3
        of = feature["properties"]
        assert of["objectType"] == "detection" and isinstance(of["name"], str)
        assert of["classification"]["name"] == "Bead"
        colour = of["classification"]["color"]
        assert len(colour) == 3 and all(0 <= c < 256 for c in colour)
        assert of["measurements"]
        for value in of["measurements"].values():
            assert isinstance(value, (int, float)) and np.isfinite(value)
    with zipfile.ZipFile(folder / "out" / "rois" / "one.zip") as rois:
        assert len(rois.namelist()) == labels.max()
