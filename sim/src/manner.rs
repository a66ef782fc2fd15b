//! How each terminal of a fleet takes 0x8105 command 2: most obey, some do not.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Settings;

/// What one terminal does when it is sent to another server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As the standard says.
    #[default]
    Obeys,
    /// It answers result 3 and stays.
    Refuses,
    /// It answers nothing and stays.
    Ignores,
    /// It goes, and stays there as long as that works, whatever the time limit.
    ObeysWithoutLimit,
}

impl Manner {
    /// The manner of each terminal, by index: as many of each as the settings say, to the last one, dealt by the seed.
    pub(crate) fn deal(settings: &Settings) -> Vec<Self> {
        let count = settings.terminals as usize;
        let refusing = settings.redirect_refuse_permille;
        let ignoring = refusing + settings.redirect_ignore_permille;
        let without_limit = ignoring + settings.redirect_limit_ignore_permille;
        let of = |place: usize| match (place as u64 * 1_000 / count as u64) as u32 {
            share if share < refusing => Self::Refuses,
            share if share < ignoring => Self::Ignores,
            share if share < without_limit => Self::ObeysWithoutLimit,
            _ => Self::Obeys,
        };
        let mut manners: Vec<Self> = (0..count).map(of).collect();
        // Its own generator, or these settings would change where the vehicles are.
        manners.shuffle(&mut StdRng::seed_from_u64(settings.seed ^ 0x8105));
        manners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(manners: &[Manner]) -> [usize; 4] {
        [Manner::Obeys, Manner::Refuses, Manner::Ignores, Manner::ObeysWithoutLimit]
            .map(|manner| manners.iter().filter(|other| **other == manner).count())
    }

    #[test]
    fn shares_are_exact_and_follow_from_the_seed() {
        let settings = Settings {
            terminals: 1_000,
            redirect_refuse_permille: 100,
            redirect_ignore_permille: 50,
            redirect_limit_ignore_permille: 1,
            ..Settings::default()
        };
        let dealt = Manner::deal(&settings);
        assert_eq!(counts(&dealt), [849, 100, 50, 1]);
        assert_eq!(dealt, Manner::deal(&settings));
        assert_ne!(dealt, Manner::deal(&Settings { seed: 2, ..settings.clone() }));
        assert_ne!(counts(&dealt[..100]), [0, 100, 0, 0], "they are spread");
        assert_eq!(counts(&Manner::deal(&Settings { terminals: 20, ..settings })), [16, 2, 1, 1]);
        assert_eq!(Manner::deal(&Settings { terminals: 0, ..Settings::default() }), []);
    }
}
