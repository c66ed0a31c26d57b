//! The kinds of channels that there are for Tokio, by one face.
//!
//! Traits cannot have async functions in the Rust that Debian has: benches that run over several kinds are macros
//! that take one of these modules.

/// What is the same for each kind.
macro_rules! hand_over {
    () => {
        pub async fn produce(out: Sender<u64>, values: std::ops::Range<u64>) {
            for v in values {
                out.send(v).await;
            }
        }

        /// Adds up what comes until the senders are gone.
        pub async fn consume(mut through: Receiver<u64>) -> u64 {
            let mut sum = 0;
            while let Some(v) = through.recv().await {
                sum += v;
            }
            sum
        }
    };
}

/// Tokio's own: one consumer, a capacity of at least 1.
pub mod mpsc {
    use tokio::sync::mpsc;

    pub const LEAST_CAPACITY: usize = 1;

    hand_over!();

    pub struct Sender<T>(mpsc::Sender<T>);
    pub struct Receiver<T>(mpsc::Receiver<T>);

    pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Sender(self.0.clone())
        }
    }

    impl<T> Sender<T> {
        /// False if nobody can receive any more.
        pub async fn send(&self, value: T) -> bool {
            self.0.send(value).await.is_ok()
        }

        /// On a thread of one's own.
        pub fn send_blocking(&self, value: T) -> bool {
            self.0.blocking_send(value).is_ok()
        }
    }

    impl<T> Receiver<T> {
        /// None when the senders are gone.
        pub async fn recv(&mut self) -> Option<T> {
            self.0.recv().await
        }
    }

    pub struct UnboundedSender<T>(mpsc::UnboundedSender<T>);
    pub struct UnboundedReceiver<T>(mpsc::UnboundedReceiver<T>);

    pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (UnboundedSender(sender), UnboundedReceiver(receiver))
    }

    impl<T> UnboundedSender<T> {
        pub fn send_now(&self, value: T) -> bool {
            self.0.send(value).is_ok()
        }
    }

    impl<T> UnboundedReceiver<T> {
        pub async fn recv(&mut self) -> Option<T> {
            self.0.recv().await
        }
    }
}

/// async-channel: many consumers, a capacity of at least 1.
pub mod async_channel {
    hand_over!();

    pub struct Sender<T>(::async_channel::Sender<T>);
    pub struct Receiver<T>(::async_channel::Receiver<T>);

    pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = ::async_channel::bounded(capacity);
        (Sender(sender), Receiver(receiver))
    }

    pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = ::async_channel::unbounded();
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Sender(self.0.clone())
        }
    }

    impl<T> Sender<T> {
        pub async fn send(&self, value: T) -> bool {
            self.0.send(value).await.is_ok()
        }

        pub fn send_now(&self, value: T) -> bool {
            self.0.try_send(value).is_ok()
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Receiver(self.0.clone())
        }
    }

    impl<T> Receiver<T> {
        pub async fn recv(&mut self) -> Option<T> {
            self.0.recv().await.ok()
        }
    }
}

/// flume: many consumers, any capacity; 0 is a rendezvous.
pub mod flume {
    pub const LEAST_CAPACITY: usize = 0;

    hand_over!();

    pub struct Sender<T>(::flume::Sender<T>);
    pub struct Receiver<T>(::flume::Receiver<T>);

    pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = ::flume::bounded(capacity);
        (Sender(sender), Receiver(receiver))
    }

    pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = ::flume::unbounded();
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Sender(self.0.clone())
        }
    }

    impl<T> Sender<T> {
        pub async fn send(&self, value: T) -> bool {
            self.0.send_async(value).await.is_ok()
        }

        pub fn send_now(&self, value: T) -> bool {
            self.0.try_send(value).is_ok()
        }

        pub fn send_blocking(&self, value: T) -> bool {
            self.0.send(value).is_ok()
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Receiver(self.0.clone())
        }
    }

    impl<T> Receiver<T> {
        pub async fn recv(&mut self) -> Option<T> {
            self.0.recv_async().await.ok()
        }
    }
}
