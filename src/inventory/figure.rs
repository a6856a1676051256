//! A number that may be absent, in the space of a number.

use std::fmt;

/// A finite number, or nothing. Half the size of an `Option<f64>`: thousands of guests have a dozen figures each.
#[derive(Clone, Copy)]
pub struct Figure(f64);

impl Figure {
    /// The number, if there is one.
    pub fn get(self) -> Option<f64> {
        Some(self.0).filter(|value| !value.is_nan())
    }

    /// The number, if there is one and it is as wanted.
    pub fn filter(self, wanted: impl FnOnce(f64) -> bool) -> Option<f64> {
        self.get().filter(|value| wanted(*value))
    }
}

impl From<Option<f64>> for Figure {
    fn from(value: Option<f64>) -> Self {
        Self(value.unwrap_or(f64::NAN))
    }
}

impl Default for Figure {
    /// Nothing.
    fn default() -> Self {
        None.into()
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_no_number() {
        assert_eq!(Figure::default(), Figure::from(None));
        assert_eq!((Figure::default().get(), Figure::from(Some(0.0)).get()), (None, Some(0.0)));
        assert_ne!(Figure::default(), Figure::from(Some(0.0)));
        assert_eq!(Figure::from(Some(2.0)).filter(|value| value > 2.0), None);
        assert_eq!(format!("{:?}", [Figure::default(), Some(1.5).into()]), "[None, Some(1.5)]");
    }
}
