// Beads of the images of a QuPath project: Automate > Script editor, open, Run (all of
// the project: Run > Run for project). Runs `beadseg predict` on the image that is open
// and adds what it finds as detections, with measurements, of the class Bead.
//
// If annotations are selected, beads are counted inside these only. QuPath 0.4 or later.

def command = "beadseg" // or where it is installed: /home/me/.venv/bin/beadseg
def options = ["--only", "labels,geojson", "--no-report"] // see beadseg predict --help

def server = getCurrentServer()
def image = server.getURIs().collect { new File(it) }.find { it.isFile() }
if (image == null)
    throw new IllegalStateException("beadseg: " + server.getMetadata().getName() +
        " is no file on this computer: save it as TIFF first")

def folder = File.createTempDir("beadseg", "")
def output = new File(folder, "out")
def words = [command, "predict", image.path, "-o", output.path] + options
def size = server.getPixelCalibration().getAveragedPixelSizeMicrons().doubleValue()
if (!Double.isNaN(size))
    words += ["--pixel-size", size.toString()]
def regions = getSelectedObjects().findAll { it.isAnnotation() }
if (regions) {
    def file = new File(folder, "region.geojson")
    exportObjectsToGeoJson(regions, file.path, "FEATURE_COLLECTION")
    words += ["--roi", file.path]
}

def process = new ProcessBuilder(words.collect { it.toString() })
    .redirectErrorStream(true).start()
process.inputStream.eachLine { println it }
def code = process.waitFor()
def found = (new File(output, "geojson").listFiles() ?: []).sort()
if (code != 0 || found.length == 0) {
    throw new IllegalStateException("beadseg ended with " + code +
        ": its last lines above say why")
}
if (found.length > 1)
    println "beadseg: " + image.name + " has " + found.length +
        " planes or scenes, of which the first is shown: the others are in " + output
importObjectsFromFile(found[0].path)
fireHierarchyUpdate()
println "beadseg: " + getDetectionObjects().size() + " detections"
if (found.length == 1)
    folder.deleteDir()
