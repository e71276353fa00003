use super::*;
use crate::dns::Zone;

fn taken(file: &mut ZoneFile) -> Option<Result<u64, String>> {
    file.refresh().map(|read| read.map_err(|error| error.to_string()))
}

#[test]
fn a_zone_is_read_when_it_is_another_one_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zone.json");
    let mut file = ZoneFile::new(path.clone());
    assert_eq!(taken(&mut file), Some(Err("can't read the zone file".to_owned())));
    assert_eq!(taken(&mut file), None);
    for generation in 1..20 {
        Zone::new(generation).write(&path).unwrap();
        assert_eq!(taken(&mut file), Some(Ok(generation)));
        assert_eq!(taken(&mut file), None);
    }
}

#[test]
fn a_broken_zone_is_told_once_and_leaves_the_old_one_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zone.json");
    let mut file = ZoneFile::new(path.clone());
    Zone::new(7).write(&path).unwrap();
    assert_eq!(taken(&mut file), Some(Ok(7)));
    for broken in ["{", r#"{"format": 2, "later": true}"#, r#"{"format": 1, "networks": {}}"#] {
        std::fs::write(&path, broken).unwrap();
        assert!(matches!(taken(&mut file), Some(Err(_))), "{broken}");
        assert_eq!(taken(&mut file), None);
        assert_eq!(file.table().unwrap().zone().generation, 7);
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(taken(&mut file), Some(Err(_))));
    assert_eq!(file.table().unwrap().zone().generation, 7);
    Zone::new(9).write(&path).unwrap();
    assert_eq!(taken(&mut file), Some(Ok(9)));
}
