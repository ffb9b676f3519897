//! Views as text: `rgb24 416x416 5fps`, of which the last two may be missing.

use std::{fmt, str::FromStr};

use super::{Format, View};

/// The largest side of a view, in pixels: the largest of any H.264 level.
const MAX_SIDE: u32 = 16_384;

/// A text that says no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no view: {why}; one is `rgb24`, `gray8 640x360` or `bgr24 1280x720 5fps`")]
pub struct NoView {
    text: String,
    why: &'static str,
}

impl Format {
    const ALL: [Self; 4] = [Self::Gray8, Self::Rgb24, Self::Bgr24, Self::I420];

    /// Its name, as in a view's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gray8 => "gray8",
            Self::Rgb24 => "rgb24",
            Self::Bgr24 => "bgr24",
            Self::I420 => "i420",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format.as_str())?;
        if let Some((width, height)) = self.size {
            write!(f, " {width}x{height}")?;
        }
        if let Some(fps) = self.fps {
            write!(f, " {fps}fps")?;
        }
        Ok(())
    }
}

/// ```
/// use media::view::{Format, View};
/// let view: View = "bgr24 640x360 5fps".parse()?;
/// assert_eq!(view, View { size: Some((640, 360)), format: Format::Bgr24, fps: Some(5.0) });
/// assert_eq!(view.to_string(), "bgr24 640x360 5fps");
/// assert!("bgr24 0x360".parse::<View>().is_err());
/// # Ok::<(), media::view::NoView>(())
/// ```
impl FromStr for View {
    type Err = NoView;

    fn from_str(text: &str) -> Result<Self, NoView> {
        let no_view = |why| NoView { text: text.to_owned(), why };
        let mut words = text.split_ascii_whitespace();
        let format = words.next().ok_or_else(|| no_view("it is empty"))?;
        let format = Format::ALL.into_iter().find(|known| known.as_str() == format);
        let format = format.ok_or_else(|| no_view("there are the formats gray8, rgb24, bgr24 and i420"))?;
        let mut view = Self { format, ..Self::default() };
        for word in words {
            if let Some(fps) = word.strip_suffix("fps") {
                let fps = fps.parse().ok().filter(|fps: &f64| fps.is_finite() && *fps > 0.0);
                view.fps = Some(fps.ok_or_else(|| no_view("its rate isn't a number above 0"))?);
            } else {
                let side = |text: &str| text.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
                let size = word.split_once('x').and_then(|(width, height)| side(width).zip(side(height)));
                view.size = Some(size.ok_or_else(|| no_view("its size isn't two numbers from 1 to 16384"))?);
            }
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_and_its_text_are_the_same() {
        for format in Format::ALL {
            for (size, fps) in
                [(None, None), (Some((416, 416)), Some(5.0)), (None, Some(0.5)), (Some((1, 16_384)), None)]
            {
                let view = View { size, format, fps };
                assert_eq!(view.to_string().parse(), Ok(view), "{view}");
            }
        }
        assert_eq!("gray8 5fps 320x180".parse::<View>().unwrap().to_string(), "gray8 320x180 5fps");
    }

    #[test]
    fn what_is_no_view_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("rgb", "formats"),
            ("rgb24 640", "size"),
            ("rgb24 0x5", "size"),
            ("rgb24 99999x5", "size"),
            ("rgb24 -1x5", "size"),
            ("rgb24 0fps", "rate"),
            ("rgb24 NaNfps", "rate"),
            ("rgb24 infps", "rate"),
        ] {
            let error = text.parse::<View>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
