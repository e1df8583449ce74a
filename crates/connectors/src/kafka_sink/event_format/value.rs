//! A value of a row as JSON. Never rounds a number, and never embeds invalid JSON.

use crate::kafka_sink::options::Vectors;
use base64_simd::STANDARD;
use milvus_wire::columns::{Value, length, scalar};
use milvus_wire::proto::schema::ScalarField;
use serde::Serialize;
use serde::de::IgnoredAny;

/// Why a value has no JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotShown {
    /// A JSON field does not contain JSON.
    #[error("a JSON field does not contain JSON")]
    NotJson,
    /// An array of a type that Milvus 2.3 to 2.5 does not have.
    #[error("an array has a type that is not known")]
    UnknownArray,
}

/// Writes a value. NaN and infinite floats become `null`, since JSON can't express them.
pub(super) fn put_value(
    out: &mut Vec<u8>,
    value: Value<'_>,
    vectors: Vectors,
) -> Result<(), NotShown> {
    match value {
        Value::Null => put(out, &()),
        Value::Bool(value) => put(out, &value),
        Value::Int(value) => put(out, &value),
        Value::Float(value) => put(out, &value),
        Value::Double(value) => put(out, &value),
        Value::Text(text) => put(out, text),
        // A null of a JSON field may have no bytes at all.
        Value::Json([]) => put(out, &()),
        Value::Json(json) => {
            let is_json = std::str::from_utf8(json).is_ok()
                && serde_json::from_slice::<IgnoredAny>(json).is_ok();
            if !is_json {
                return Err(NotShown::NotJson);
            }
            out.extend_from_slice(json);
        }
        Value::Bytes(bytes) | Value::PackedVector(bytes) => put_base64(out, bytes),
        Value::Array(scalars) => put_array(out, scalars, vectors)?,
        Value::FloatVector(floats) => match vectors {
            Vectors::Array => put(out, floats),
            Vectors::Base64 => {
                let mut bytes = Vec::with_capacity(size_of_val(floats));
                floats.iter().for_each(|float| bytes.extend_from_slice(&float.to_le_bytes()));
                put_base64(out, &bytes);
            }
        },
        Value::Int8Vector(bytes) => match vectors {
            Vectors::Array => {
                let numbers: Vec<i8> = bytes.iter().map(|byte| byte.cast_signed()).collect();
                put(out, &numbers);
            }
            Vectors::Base64 => put_base64(out, bytes),
        },
        Value::SparseVector(pairs) => {
            put_list(out, (b'{', b'}'), Value::sparse_pairs(pairs), |out, (index, value)| {
                put(out, &index.to_string());
                out.push(b':');
                put(out, &value);
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn put_array(out: &mut Vec<u8>, scalars: &ScalarField, vectors: Vectors) -> Result<(), NotShown> {
    let count = match &scalars.data {
        Some(data) => length(data).ok_or(NotShown::UnknownArray)?,
        None => 0,
    };
    let values = (0..count).map(|place| scalar(scalars, place).unwrap_or(Value::Null));
    put_list(out, (b'[', b']'), values, |out, value| put_value(out, value, vectors))
}

fn put_list<T>(
    out: &mut Vec<u8>,
    (open, close): (u8, u8),
    values: impl Iterator<Item = T>,
    each: impl Fn(&mut Vec<u8>, T) -> Result<(), NotShown>,
) -> Result<(), NotShown> {
    out.push(open);
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        each(out, value)?;
    }
    out.push(close);
    Ok(())
}

/// Writes a value as JSON with serde.
pub(super) fn put(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("numbers and texts can be written into memory");
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    STANDARD.encode_append(bytes, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::proto::schema::scalar_field::Data;
    use milvus_wire::proto::schema::{ArrayArray, IntArray, StringArray};

    fn shown(value: Value<'_>, vectors: Vectors) -> Result<String, NotShown> {
        let mut out = Vec::new();
        put_value(&mut out, value, vectors)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_type_has_its_json() {
        let sparse: Vec<u8> = [7_u32.to_le_bytes(), 0.5_f32.to_le_bytes()].concat();
        for (value, as_array, as_base64) in [
            (Value::Null, "null", "null"),
            (Value::Bool(true), "true", "true"),
            (Value::Int(i64::MIN), "-9223372036854775808", "-9223372036854775808"),
            (Value::Float(0.1), "0.1", "0.1"),
            (Value::Float(f32::NAN), "null", "null"),
            (Value::Double(f64::INFINITY), "null", "null"),
            (Value::Double(0.1), "0.1", "0.1"),
            (Value::Text("a\"ü\n"), "\"a\\\"ü\\n\"", "\"a\\\"ü\\n\""),
            (Value::Json(b"{\"a\": [1, null]}"), "{\"a\": [1, null]}", "{\"a\": [1, null]}"),
            (Value::Json(b""), "null", "null"),
            (Value::Bytes(&[1, 2]), "\"AQI=\"", "\"AQI=\""),
            (Value::PackedVector(&[1, 2]), "\"AQI=\"", "\"AQI=\""),
            (Value::FloatVector(&[1.0, -0.25]), "[1.0,-0.25]", "\"AACAPwAAgL4=\""),
            (Value::FloatVector(&[f32::NAN]), "[null]", "\"AADAfw==\""),
            (Value::Int8Vector(&[1, 255]), "[1,-1]", "\"Af8=\""),
            (Value::SparseVector(&sparse), "{\"7\":0.5}", "{\"7\":0.5}"),
        ] {
            assert_eq!(shown(value, Vectors::Array).as_deref(), Ok(as_array), "{value:?}");
            assert_eq!(shown(value, Vectors::Base64).as_deref(), Ok(as_base64), "{value:?}");
        }
    }

    #[test]
    fn arrays_are_arrays_at_any_depth() {
        let of = |data| ScalarField { data: Some(data), ..Default::default() };
        let numbers = of(Data::IntData(IntArray { data: vec![1, -2] }));
        let texts = of(Data::StringData(StringArray { data: vec!["x".into()] }));
        assert_eq!(shown(Value::Array(&numbers), Vectors::Array).unwrap(), "[1,-2]");
        let both = ArrayArray { data: vec![numbers, texts], ..Default::default() };
        let both = of(Data::ArrayData(both));
        assert_eq!(shown(Value::Array(&both), Vectors::Array).unwrap(), "[[1,-2],[\"x\"]]");
        assert_eq!(shown(Value::Array(&ScalarField::default()), Vectors::Array).unwrap(), "[]");
    }

    #[test]
    fn invalid_json_is_not_embedded() {
        for bytes in [&b"{\"a\":1"[..], b"{} {}", b"nothing", b"\"\xff\""] {
            assert_eq!(shown(Value::Json(bytes), Vectors::Array), Err(NotShown::NotJson));
        }
    }
}
