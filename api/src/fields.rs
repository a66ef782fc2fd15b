//! Reading an object field by field, so that what does not fit can be named. Knows neither where the object stands
//! (a body, a query) nor how it is written.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A `T` that is written as an object; where it is none, why, and the field at fault, if it is one field's fault.
pub(crate) fn object<'de, T, D>(written: D) -> Result<T, (Option<String>, D::Error)>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let mut field = None;
    let read = written.deserialize_map(Object { field: &mut field, object: PhantomData });
    read.map_err(|error| (field, error))
}

struct Object<'f, T> {
    /// The field that was being read when something was wrong.
    field: &'f mut Option<String>,
    object: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Fields { map, field: self.field }))
    }
}

/// The entries of an object, remembering which is being read.
struct Fields<'f, A> {
    map: A,
    field: &'f mut Option<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.map.next_key::<String>()? else { return Ok(None) };
        let key = self.field.insert(key);
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let value = self.map.next_value_seed(seed)?;
        *self.field = None;
        Ok(value)
    }
}
