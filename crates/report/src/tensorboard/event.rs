//! The few messages of TensorFlow's `event.proto` and `summary.proto` that are needed, in protobuf's wire format.

/// What the first event of a file says.
const FILE_VERSION: &str = "brain.Event:2";

/// `DataType.DT_STRING`.
const STRING: u64 = 7;

/// `DataClass.DATA_CLASS_TENSOR`.
const TENSOR: u64 = 2;

/// Values at a step.
pub struct Event {
    message: Message,
    summary: Message,
}

impl Event {
    /// What a file begins with.
    pub fn header() -> Self {
        let mut event = Self::new(0, 0.0);
        event.message.bytes(3, FILE_VERSION.as_bytes());
        event
    }

    /// An event without values, `seconds` after the start.
    pub fn new(step: u64, seconds: f64) -> Self {
        let mut message = Message::default();
        message.double(1, seconds);
        message.varint(2, step);
        Self { message, summary: Message::default() }
    }

    /// Adds a number.
    pub fn scalar(&mut self, tag: &str, value: f64) {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, value as f32);
        self.summary.bytes(1, &entry.0);
    }

    /// Adds a text in Markdown.
    pub fn text(&mut self, tag: &str, text: &str) {
        let [mut dim, mut shape, mut tensor] = [const { Message(Vec::new()) }; 3];
        dim.varint(1, 1);
        shape.bytes(2, &dim.0);
        tensor.varint(1, STRING);
        tensor.bytes(2, &shape.0);
        tensor.bytes(8, text.as_bytes());
        let [mut plugin, mut metadata, mut entry] = [const { Message(Vec::new()) }; 3];
        plugin.bytes(1, b"text");
        metadata.bytes(1, &plugin.0);
        metadata.varint(4, TENSOR);
        entry.bytes(1, tag.as_bytes());
        entry.bytes(8, &tensor.0);
        entry.bytes(9, &metadata.0);
        self.summary.bytes(1, &entry.0);
    }

    /// The message's bytes.
    pub fn encode(mut self) -> Vec<u8> {
        if !self.summary.0.is_empty() {
            self.message.bytes(5, &self.summary.0);
        }
        self.message.0
    }
}

/// Fields in the wire format: each its number and wire type, then its value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, field: u64, value: u64) {
        self.raw_varint(field << 3);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.raw_varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.raw_varint(field << 3 | 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.raw_varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
