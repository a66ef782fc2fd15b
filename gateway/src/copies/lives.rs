//! Which lives of this gateway wrote its spool: a file in the spool's folder, so that it is lost with the spool.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use cluster::Incarnation;

const NAME: &str = "lives";
/// Most lives that are remembered. Copies of older ones, at peers that were away all the time, are left for people.
const LIVES_MAX: usize = 16;

/// The lives before this one, the latest last; fewer than are remembered.
pub(super) fn former(dir: &Path, me: Incarnation) -> io::Result<Vec<Incarnation>> {
    let text = match std::fs::read_to_string(dir.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut former: Vec<Incarnation> =
        text.lines().filter_map(|line| u64::from_str_radix(line, 16).ok()).map(Incarnation).collect();
    former.retain(|life| *life != me);
    former.drain(..former.len().saturating_sub(LIVES_MAX - 1));
    Ok(former)
}

/// Adds this life to the former ones, for good.
pub(super) fn enter(dir: &Path, former: &[Incarnation], me: Incarnation) -> io::Result<()> {
    let new = dir.join(format!("{NAME}.new"));
    let mut file = File::create(&new)?;
    for life in former.iter().chain([&me]) {
        writeln!(file, "{life}")?;
    }
    file.sync_all()?;
    std::fs::rename(&new, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come(dir: &Path, me: Incarnation) -> Vec<Incarnation> {
        let former = former(dir, me).expect("read");
        enter(dir, &former, me).expect("entered");
        former
    }

    #[test]
    fn lives_are_remembered_in_order_and_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        for life in 0..40 {
            let former = come(dir.path(), Incarnation(life));
            let first = (life + 1).saturating_sub(LIVES_MAX as u64);
            assert_eq!(former, (first..life).map(Incarnation).collect::<Vec<_>>());
        }
        assert_eq!(come(dir.path(), Incarnation(39)).last(), Some(&Incarnation(38)));
        std::fs::write(dir.path().join(NAME), "0000000000000007\nnonsense\n").expect("written");
        assert_eq!(come(dir.path(), Incarnation(u64::MAX)), [Incarnation(7)]);
    }
}
