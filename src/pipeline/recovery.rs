//! Recovery of a sample whose mapped case lost pages while the sample was made: the case is fetched
//! again, which builds it from its source files, and the same sample is made again.
use crate::base::CaseError;
use crate::brats::CaseFiles;
use crate::pipeline::{CaseHandle, DrawnSample, Fetch, PlannedSample};

use std::fmt;

/// Times that a sample is tried. A disk that loses a case again and again is not worth more.
pub(super) const ATTEMPTS: usize = 3;

/// Way to a case that was lost; none where cases are in memory.
#[derive(Clone, Default)]
pub struct CaseRecovery(Option<Fetch>);

impl fmt::Debug for CaseRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CaseRecovery").field(&self.0.is_some()).finish()
    }
}

impl CaseRecovery {
    /// Recovers cases through `fetch`.
    pub const fn through(fetch: Fetch) -> Self {
        Self(Some(fetch))
    }

    /// Replaces a case that lost pages while something was made of it; `None` where it lost none, so that
    /// what was made counts. `files` are those of the case, and `attempt` counts from 1.
    ///
    /// # Errors
    /// If the case cannot be fetched: its source files are gone, say. Or if it is lost again and again.
    pub fn replace_lost_case(
        &self,
        used: &CaseHandle,
        files: Option<&CaseFiles>,
        attempt: usize,
    ) -> Result<Option<CaseHandle>, CaseError> {
        let Err(lost) = used.check_pages() else { return Ok(None) };
        let (Some(fetch), Some(files)) = (&self.0, files) else { return Err(lost) };
        if attempt >= ATTEMPTS {
            return Err(lost.of_case(used.id()));
        }
        tracing::warn!("case {}: {lost}; what was under way is made again", used.id());
        fetch.case_handle(files).map(Some)
    }

    /// Replaces the cases of a sample that lost pages while something was made of them; false where none did, so
    /// that what was made counts. `attempt` counts from 1.
    ///
    /// # Errors
    /// As [`replace_lost_case`](Self::replace_lost_case).
    pub fn replace_lost_cases(
        &self,
        sample: &mut DrawnSample,
        attempt: usize,
    ) -> Result<bool, CaseError> {
        let planned = sample.planned.as_ref();
        let files = planned.map(PlannedSample::case_files);
        let case = self.replace_lost_case(&sample.case, files, attempt)?;
        let files = planned.and_then(PlannedSample::donor_files);
        let donor = match &sample.donor {
            Some(donor) => self.replace_lost_case(donor, files, attempt)?,
            None => None,
        };
        let is_replaced = case.is_some() || donor.is_some();
        if let Some(again) = case {
            sample.case = again;
        }
        sample.donor = donor.or(sample.donor.take());
        Ok(is_replaced)
    }
}
