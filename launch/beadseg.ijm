// Beads of the images of a folder in ImageJ or Fiji: Plugins > Macros > Run...
//
// Runs `beadseg predict` on the folder, then opens each image with the outlines of its
// beads in the ROI manager (one image at a time; the next button opens the next) and
// the tables. Without a window, as a batch:
//
//   ImageJ -batch launch/beadseg.ijm "IMAGES|OUTPUT|COMMAND|OPTIONS"
//
// COMMAND: where beadseg is installed, such as /home/me/.venv/bin/beadseg. OPTIONS, of
// `beadseg predict --help`, are separated by spaces. An OUTPUT that has results already
// is shown as it is.

parts = split(getArgument() + "| | | ", "|");
batch = lengthOf(getArgument()) > 0;
if (batch) {
    images = parts[0];
    output = parts[1];
    command = parts[2];
    options = parts[3];
} else {
    images = getDirectory("Folder of images");
    output = File.getParent(images) + File.separator + File.getName(images) + "_beads";
    Dialog.create("beadseg");
    Dialog.addString("Results", output, 50);
    Dialog.addString("Command", "beadseg", 50);
    Dialog.addString("Options", "--no-report", 50);
    Dialog.show();
    output = Dialog.getString();
    command = Dialog.getString();
    options = Dialog.getString();
}
if (replace(command, " ", "") == "")
    command = "beadseg";
if (!File.exists(output + File.separator + "images.csv")) {
    showStatus("beadseg: looking for beads...");
    words = newArray(command, "predict", images, "-o", output);
    asked = split(options, " ");
    for (i = 0; i < asked.length; i++) {
        if (asked[i] != "")
            words = Array.concat(words, asked[i]);
    }
    print(run_command(words));
}
table = output + File.separator + "images.csv";
if (!File.exists(table))
    exit("beadseg wrote no tables of " + images + ": read the Log window, and run\n"
        + command + " predict \"" + images + "\" -o \"" + output + "\"\nin a terminal");

lines = split(File.openAsString(table), "\n");
heads = split(lines[0], ",");
for (i = 1; i < lines.length; i++) {
    name = cell(lines[i], heads, "image");
    rois = output + File.separator + "rois" + File.separator + name + ".zip";
    count = 0;
    roiManager("reset");
    if (!batch) {
        open(cell(lines[i], heads, "file"));
        page = parseInt(cell(lines[i], heads, "page")) + 1;
        if (page <= nSlices)
            setSlice(page);
    }
    beads = parseFloat(cell(lines[i], heads, "count"));
    if (File.exists(rois) && beads > 0) {
        roiManager("open", rois);
        count = roiManager("count");
    }
    print(name + ": " + count + " beads");
    if (!batch) {
        roiManager("show all");
        if (i < lines.length - 1)
            waitForUser("beadseg", name + ": " + count + " beads. OK: the next image");
    }
}

// What a command prints, errors too.
function run_command(words) {
    windows = startsWith(getInfo("os.name"), "Windows");
    text = "";
    for (w = 0; w < words.length; w++) {
        if (windows)
            text = text + "\"" + words[w] + "\" ";
        else
            text = text + "'" + replace(words[w], "'", "'\"'\"'") + "' ";
    }
    if (windows)
        return exec("cmd", "/c", text + "2>&1");
    return exec("sh", "-c", text + "2>&1");
}

// The cell of a line of CSV under a head; commas in quotes are no ends.
function cell(line, heads, name) {
    found = "";
    column = 0;
    inside = false;
    for (c = 0; c < lengthOf(line); c++) {
        letter = substring(line, c, c + 1);
        if (letter == "\"")
            inside = !inside;
        else if (letter == "," && !inside)
            column = column + 1;
        else if (heads[column] == name)
            found = found + letter;
    }
    return found;
}
