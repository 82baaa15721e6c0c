"""Every field of beadseg, with its meaning and unit; other configs change a few.

What says (traced) may differ between the members of a sweep that share one compiled
program; so may the numbers under `loss`. What changes shapes or code makes another.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference, placeholder


def get_config() -> ConfigDict:
    """The settings that everything else derives from: beads, two CPU cores."""
    c = ConfigDict()
    c.seed = 0  # of weights and dropout (traced)
    c.init_from = ""  # run to take the first weights from, or "default"; "": random

    c.data = data = ConfigDict()
    data.dir = ""  # folder with images/ and masks/; "": generated beads
    data.cache_dir = placeholder(str)  # None: $BEADSEG_CACHE or ~/.cache/beadseg
    data.stack = "pages"  # a page is an image; or project z with "max", "mean"
    data.channel = placeholder(int)  # of several; None: luminance of RGB, else first
    data.group_pattern = ""  # regex; files whose group(1) agrees stay on one side;
    # "": crops of one frame do, found by names (r1_c2, x0_y512, tile_3) and by edges
    data.check_masks = True  # leave out masks that do not belong to their image
    data.masks = "auto"  # "outlines", or "marks": discs, true in place and number alone
    # What numbers of masks are: "auto"; "none": each is a bead; (1, 2): kinds of beads;
    # of YOLO, COCO, labelme numbers or names of the classes that are: ("bead",)
    data.classes = FieldReference("auto", field_type=object)
    data.point_diameter = placeholder(float)  # px of beads in points/; None: as apart
    # px of the median bead after resampling; 0: as it is; "auto": as it is if it has
    # 10 to 16 px, else brought to the nearer of these
    data.bead_diameter = FieldReference(24.0, field_type=object)
    # Beads that are taught: of "one" size, or of (smallest, largest) px, each image at
    # the scales where its beads are so large; images are then predicted on a pyramid.
    # "auto": those that the run of init_from knows, where beads differ much, else one
    data.sizes = FieldReference("one", field_type=object)
    # Share of crops that are generated beads, where sizes are a range: what the start
    # knows of others is kept
    data.rehearsal = 0.0
    data.tile_size = 512  # px; larger images are cut into tiles of this size
    data.crop = 128  # px, side of a training crop
    data.batch_size = 8  # crops per step, over all devices
    data.seed = 0  # of batches and augmentation: members of a sweep share them
    data.workers = 0  # processes that prepare batches (10 s to start); 0: threads
    data.validation_fraction = 0.15  # of the labelled images; two, if four have masks
    data.split_seed = 42  # of the split
    data.validation = ()  # images, or groups, that validate; (): drawn by density
    data.density_bins = (0, 20, 50, 100)  # beads per image: lower edges of strata

    data.normalise = normalise = ConfigDict()
    normalise.low = 1.0  # percentile of the image that becomes 0
    normalise.high = 99.5  # percentile of the image that becomes 1
    normalise.flatten = 0.0  # sigma of the mean subtracted, bead diameters; 0: off

    data.generated = generated = ConfigDict()
    generated.preset = "beads"  # or "varied", "mitochondria"
    generated.modalities = ()  # of data/generated/settings.py; (): all
    generated.count = 200  # images
    generated.size = 256  # px, side of an image
    generated.seed = 0  # of the images
    generated.bead_diameter = 0.0  # px, instead of data.bead_diameter; 0: as drawn
    generated.sizes = ()  # (smallest, largest) px, instead: of a bead of each image
    generated.damage = "none"  # label damage, see beadseg/data/generated/damage.py
    generated.amount = 0.0  # share of beads dropped, or px

    data.augment = augment = ConfigDict()
    augment.enabled = True
    augment.rotate = 180.0  # degrees, drawn from [-rotate, rotate]
    augment.flip = True  # left-right and up-down, each with probability 1/2
    augment.shift = 0.2  # share of the crop
    augment.zoom = 0.15  # scale drawn from [1 - zoom, 1 + zoom]
    augment.brightness = 0.2  # intensity factor drawn from [1 - b, 1 + b]
    augment.gamma = 0.2  # exponent drawn from exp([-gamma, gamma])
    augment.noise = 0.05  # largest standard deviation of added Gaussian noise
    augment.blur = 1.0  # px, largest standard deviation of a Gaussian blur
    augment.invert = 0.0  # probability of swapping dark and bright

    c.model = model = ConfigDict()
    model.name = "unet"  # or attention_unet, attention_resunet: beadseg/models
    model.width = 16  # channels of the first level; doubled at each level
    model.depth = 4  # times that the image is halved
    model.norm = "batch"  # or weight, channel, group, none: beadseg/models/blocks.py
    model.dropout = 0.1  # in each decoder block (traced)
    model.deep_supervision = False  # logits at every decoder level add to the loss
    model.heads = ("mask", "distance")  # or ("mask",): beads are cut at their necks
    model.bfloat16 = placeholder(bool)  # compute type; None: on a GPU only

    c.loss = loss = ConfigDict()
    loss.name = "dice"  # bce, focal, dice, tversky, combined; see partial.method
    loss.gamma = 2.0  # focal: focus on hard pixels; 0: plain cross-entropy
    loss.positive_weight = 0.5  # focal: weight of bead pixels against background
    loss.alpha = 0.5  # tversky: weight of false positives
    loss.beta = 0.5  # tversky: weight of false negatives
    loss.mix = 0.5  # combined: mix * BCE + (1 - mix) * Dice
    loss.boundary = 0.0  # weight of the boundary term added to any loss
    loss.distance = 0.3  # weight of the distance head, where the model has it

    c.partial = partial = ConfigDict()  # for masks that label only part of the beads
    partial.method = "auto"  # the loss where they are incomplete, or "none"; losses.py
    partial.completeness = placeholder(float)  # share labelled; None: read or estimated
    partial.audit = 0.3  # share of the epochs after which it is estimated
    partial.suspect = 0.75  # estimate below which masks are taken as incomplete
    partial.enough = 0.9  # completeness, where given, from which they are complete
    partial.self_training = 0  # rounds of completing the masks and training again
    partial.accept = 0.95  # expected precision of the beads it accepts in between
    partial.parent = ""  # of a round: the run whose model completed its masks

    c.optim = optim = ConfigDict()
    optim.learning_rate = 1e-3  # peak (traced)
    optim.weight_decay = 1e-4  # decoupled; not on norms and biases (traced)
    optim.clip_norm = 1.0  # of the gradient, over all parameters (traced)
    optim.warmup_steps = 0  # linear, from 0 to the peak
    optim.cosine = False  # decay to 0 over all steps after warm-up

    c.plateau = plateau = ConfigDict()  # lowers the rate when validation loss stalls
    plateau.enabled = True
    plateau.factor = 0.5  # of the rate, at each stall
    plateau.patience = 10  # evaluations without improvement
    plateau.min_learning_rate = 1e-6

    c.train = train = ConfigDict()
    train.epochs = 40  # at most; an evaluation and a checkpoint after each
    train.steps_per_epoch = placeholder(int)  # None: every pixel seen once
    train.early_stopping = 20  # evaluations without a better score; 0: off
    train.parallel = "jit"  # over all local devices; or "pmap"
    train.threshold = placeholder(float)  # None: chosen on validation data
    # With init_from: shares of the starting weights to try at the end (WiSE-FT); none
    # where marks are incomplete, as validation cannot tell.
    train.weight_interpolation = (0.25, 0.5, 0.75, 1.0)

    c.sweep = sweep = ConfigDict()  # how a config file with sweep(add) is run
    sweep.search = "all"  # points; "halving": in rounds; "optuna": as space() allows
    sweep.trials = 20  # points drawn from space() by "optuna" or, if "all", at random
    sweep.rounds = 3  # halving: all points train for a part of the epochs, then fewer
    sweep.keep = 0.34  # halving: share that continues to the next round
    sweep.over_members = "auto"  # loop, streams, unroll, vmap; auto: measured
    sweep.at_once = 0  # members of a group trained together; 0: as many as fit
    sweep.lease = 180.0  # s without a sign of life before another process takes over

    c.log = log = ConfigDict()
    log.every = 10  # steps between lines of metrics.jsonl
    log.images_every = 5  # epochs between image panels; 0: no pictures, nor at the end
    log.wandb = "auto"  # online with a key, else offline; "online", "offline", "off"
    log.project = "beadseg"
    log.group = ""  # W&B group; "": of a sweep, its name
    log.job_type = "train"  # of W&B; baseline, self-training and sweeps set their own
    log.tags = ()  # of W&B, such as ("paper",), beside those of model, loss and data
    return c.lock()
