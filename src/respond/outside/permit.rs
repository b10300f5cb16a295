//! Owns the last look before a request leaves: whoever may begin it may have stood still since it was
//! allowed to. The look is taken when the connection asks for the body, which is right before the
//! first byte is written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Whether a call may still begin.
pub struct Permit {
    may: Box<dyn Fn() -> bool + Send + Sync>,
    refused: AtomicBool,
}

tokio::task_local! {
    static PERMIT: Arc<Permit>;
}

impl Permit {
    /// One that is asked.
    pub fn new(may: impl Fn() -> bool + Send + Sync + 'static) -> Arc<Permit> {
        Arc::new(Permit { may: Box::new(may), refused: AtomicBool::new(false) })
    }

    /// Does some work under it.
    pub async fn around<T>(self: Arc<Permit>, work: impl Future<Output = T>) -> T {
        PERMIT.scope(self, work).await
    }

    /// True where it said no: nothing was sent.
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    fn holds(&self) -> bool {
        let may = (self.may)();
        if !may {
            self.refused.store(true, Ordering::Release);
        }
        may
    }
}

/// Nothing is sent any more.
#[derive(Debug, thiserror::Error)]
#[error("it may not begin any more")]
struct Over;

/// A body that is only given out while the call may begin.
pub struct Guarded {
    bytes: Option<Bytes>,
    permit: Option<Arc<Permit>>,
}

impl Guarded {
    /// Of a text, under the permit of the work that this is part of, if there is one.
    pub fn new(text: String) -> Guarded {
        Guarded { bytes: Some(Bytes::from(text)), permit: PERMIT.try_with(Arc::clone).ok() }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        if self.permit.as_ref().is_some_and(|permit| !permit.holds()) {
            return Poll::Ready(Some(Err(Over.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_begin_any_more_is_not_given_out() {
        let look = |body: Guarded| {
            let mut body = Box::pin(body);
            assert_eq!(body.size_hint().exact(), Some(4));
            let mut context = Context::from_waker(std::task::Waker::noop());
            match body.as_mut().poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap().len(),
                _ => 0,
            }
        };
        assert_eq!(look(Guarded::new("body".to_owned())), 4);
        let permit = Permit::new(|| false);
        let body = Guarded { bytes: Some(Bytes::from_static(b"body")), permit: Some(permit.clone()) };
        assert!(!permit.was_refused());
        assert_eq!(look(body), 0);
        assert!(permit.was_refused());
    }
}
