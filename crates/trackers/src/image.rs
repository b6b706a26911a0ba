//! The images among the artifacts of a trial, and the size of an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use swath_engine::tracker::regular;
use swath_model::study::{LogRecord, Trial};

/// The folder of images among the artifacts of a trial.
const FOLDER: &str = "artifacts/image/";

/// Maximum size of an image in bytes; a larger one is only named, as other artifacts are.
const LARGEST: u64 = 16 << 20;

/// An image of a trial.
#[derive(Debug, PartialEq)]
pub(super) struct Image {
    /// The path below the folder of images, without the extension: `plots/roc`.
    pub(super) name: String,
    /// The path of the file.
    pub(super) path: PathBuf,
    pub(super) format: &'static str,
    /// Width and height in pixels.
    pub(super) size: (i64, i64),
    pub(super) bytes: Vec<u8>,
}

/// Returns the images of a trial in the order of their names. An image that was stored several
/// times is returned once, with the bytes that it has now.
pub(super) fn images_of(trial: &Trial, folder: &Path) -> Vec<Image> {
    let stored = trial.records.iter().filter_map(|record| match record {
        LogRecord::Artifact { path, .. } => Some((path.strip_prefix(FOLDER)?, path)),
        _ => None,
    });
    let stored: BTreeMap<&str, &String> = stored.collect();
    let images = stored.into_iter().filter_map(|(name, path)| {
        let path = folder.join(path);
        let is_small = std::fs::metadata(&path).is_ok_and(|about| about.len() <= LARGEST);
        let bytes = is_small.then(|| regular::read(&path).ok()).flatten()?;
        let (format, size) = read_size(&bytes)?;
        let name = Path::new(name).with_extension("");
        Some(Image {
            name: name.to_string_lossy().into_owned(),
            path,
            format,
            size,
            bytes,
        })
    });
    images.collect()
}

/// Returns the format, the width and the height of a PNG, GIF or JPEG file.
fn read_size(bytes: &[u8]) -> Option<(&'static str, (i64, i64))> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let width = big_endian(bytes.get(16..20)?);
        return Some(("png", (width, big_endian(bytes.get(20..24)?))));
    }
    if bytes.starts_with(b"GIF8") {
        let [width, height] = [bytes.get(6..8)?, bytes.get(8..10)?]
            .map(|digits| i64::from(digits[0]) | (i64::from(digits[1]) << 8));
        return Some(("gif", (width, height)));
    }
    if !bytes.starts_with(b"\xff\xd8") {
        return None;
    }
    // The segments of a JPEG file: a marker of two bytes, then the length.
    let mut at = 2;
    loop {
        let marker = big_endian(bytes.get(at..at + 2)?);
        let is_frame =
            (0xffc0..=0xffcf).contains(&marker) && ![0xffc4, 0xffc8, 0xffcc].contains(&marker);
        if is_frame {
            let height = big_endian(bytes.get(at + 5..at + 7)?);
            return Some(("jpg", (big_endian(bytes.get(at + 7..at + 9)?), height)));
        }
        if !(0xff00..=0xffff).contains(&marker) {
            return None;
        }
        at += 2 + usize::try_from(big_endian(bytes.get(at + 2..at + 4)?)).ok()?;
    }
}

fn big_endian(bytes: &[u8]) -> i64 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

    /// Returns the beginning of a PNG file of 2 by 3 pixels.
    fn png() -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03".to_vec();
        bytes.extend([8, 2, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_size_of_an_image_is_in_its_head() {
        assert_eq!(read_size(&png()), Some(("png", (2, 3))));
        assert_eq!(read_size(b"GIF89a\x02\0\x03\0"), Some(("gif", (2, 3))));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x03\0\x02";
        assert_eq!(read_size(jpeg), Some(("jpg", (2, 3))));
        for other in [
            &b"BM"[..],
            b"",
            b"\xff\xd8\xff\xe0",
            b"\xff\xd8ab\0\0\0\0",
            b"\x89PNG\r\n\x1a\n",
        ] {
            assert_eq!(read_size(other), None);
        }
    }

    #[test]
    fn an_image_that_was_stored_twice_is_one_and_other_artifacts_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let paths = [
            "image/plots/roc.png",
            "image/plots/roc.png",
            "file/x.png",
            "image/no.png",
        ];
        for path in paths {
            let path = format!("artifacts/{path}");
            let file = folder.path().join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(
                &file,
                if path.contains("no") {
                    b"text".to_vec()
                } else {
                    png()
                },
            )
            .unwrap();
            demo.log(
                trial,
                LogRecord::Artifact {
                    path,
                    md5: None,
                    size: 1,
                    partial: Vec::new(),
                },
            );
        }
        let images = images_of(demo.study.trial(trial).unwrap(), folder.path());
        let names: Vec<_> = images
            .iter()
            .map(|image| (&*image.name, image.size))
            .collect();
        assert_eq!(names, [("plots/roc", (2, 3))]);
    }
}
