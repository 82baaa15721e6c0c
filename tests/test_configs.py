"""Configs that say what they are."""

from configs import dice


def test_full_is_the_recipe_of_phase_4_of_the_analysis():
    c = dice.get_config("full")
    assert (c.loss.name, c.loss.mix) == ("combined", 0.5)
    assert (c.data.crop, c.data.batch_size, c.model.dropout) == (256, 32, 0.3)
    assert (c.optim.learning_rate, c.optim.clip_norm) == (1e-4, 1.0)
    assert (c.train.epochs, c.train.early_stopping) == (100, 20)
    assert (c.plateau.factor, c.plateau.patience) == (0.5, 10)
    assert c.plateau.min_learning_rate == 1e-6 and c.model.name == "unet"
