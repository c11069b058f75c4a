import { ByteWriter } from "../../base/bytes.ts";
import { SluiceError } from "../../base/errors.ts";
import { AmfReader, AmfReferences, emptyRecord } from "./amf-reader.ts";
import { readAmf3 } from "./amf3.ts";

/** Type markers of AMF 0 (Action Message Format 0, 2007, section 2.1). */
const marker = {
  number: 0x00,
  boolean: 0x01,
  string: 0x02,
  object: 0x03,
  null: 0x05,
  undefined: 0x06,
  reference: 0x07,
  ecmaArray: 0x08,
  objectEnd: 0x09,
  strictArray: 0x0a,
  date: 0x0b,
  longString: 0x0c,
  unsupported: 0x0d,
  xml: 0x0f,
  typedObject: 0x10,
  avmPlus: 0x11,
} as const;

/** Makes `encodeAmf0` write these values as ECMA array (associative), as `onMetaData` wants, instead of as object. */
export class EcmaArray {
  readonly values: Readonly<Record<string, unknown>>;
  constructor(values: Readonly<Record<string, unknown>>) {
    this.values = values;
  }
}

/**
 * All values of an AMF 0 message body. Numbers, booleans, strings, null, undefined and `Date` become what they are;
 * objects, typed objects and ECMA arrays become records without prototype, strict arrays become arrays, XML becomes a
 * string; a switch to AMF 3 (marker 0x11) is followed for one value. References are resolved; one that would make a
 * cycle is undefined. Nothing keeps `bytes`. Throws `SluiceError` "input.invalid" or "input.oversized".
 */
export function decodeAmf0(bytes: Uint8Array): unknown[] {
  const reader = new AmfReader(bytes);
  const references = new AmfReferences(reader);
  const values: unknown[] = [];
  while (reader.remaining > 0) values.push(readValue(reader, references));
  return values;
}

function readValue(reader: AmfReader, references: AmfReferences, type = reader.u8()): unknown {
  reader.count();
  switch (type) {
    case marker.number:
      return reader.f64();
    case marker.boolean:
      return reader.u8() !== 0;
    case marker.string:
      return reader.text(reader.u16());
    case marker.longString:
    case marker.xml:
      return reader.text(reader.u32());
    case marker.null:
      return null;
    case marker.undefined:
    case marker.unsupported:
      return undefined;
    case marker.object:
      return references.define(emptyRecord(), (record) => readProperties(reader, references, record, false));
    case marker.typedObject:
      reader.text(reader.u16());
      return references.define(emptyRecord(), (record) => readProperties(reader, references, record, false));
    case marker.ecmaArray:
      // The announced count is only a hint (many encoders write 0): the end marker counts.
      reader.u32();
      return references.define(emptyRecord(), (record) => readProperties(reader, references, record, true));
    case marker.strictArray: {
      const length = reader.u32();
      reader.expect(length, 1);
      return references.define([] as unknown[], (list) => {
        for (let index = 0; index < length; index += 1) list.push(readValue(reader, references));
      });
    }
    case marker.date: {
      const ms = reader.f64();
      reader.i16(); // time zone: reserved, to be ignored
      return new Date(ms);
    }
    case marker.reference:
      return references.resolve(reader.u16());
    case marker.avmPlus:
      return readAmf3(reader);
    default:
      throw new SluiceError("input.invalid", `AMF0 type marker 0x${type.toString(16)} is unknown or not allowed in a message`);
  }
}

/** Name and value pairs up to the end marker. An ECMA array may also end with the message: some encoders leave the marker out. */
function readProperties(reader: AmfReader, references: AmfReferences, record: Record<string, unknown>, openEnd: boolean): void {
  for (;;) {
    if (openEnd && reader.remaining === 0) return;
    const name = reader.text(reader.u16());
    const type = reader.u8();
    if (name === "" && type === marker.objectEnd) return;
    record[name] = readValue(reader, references, type);
  }
}

/**
 * The bytes of an AMF 0 message body: number, boolean, string (long form when needed), null, undefined, `Date`, arrays as
 * strict array, `EcmaArray`, and other objects by their own enumerable properties. Throws `SluiceError` "input.unsupported"
 * for anything else; values must not contain themselves.
 */
export function encodeAmf0(values: readonly unknown[]): Uint8Array {
  const writer = new ByteWriter();
  for (const value of values) writeValue(writer, value);
  return writer.take();
}

function writeValue(writer: ByteWriter, value: unknown): void {
  if (typeof value === "number") {
    writer.u8(marker.number);
    writer.f64(value);
  } else if (typeof value === "boolean") {
    writer.u8(marker.boolean);
    writer.u8(value ? 1 : 0);
  } else if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    const long = bytes.length > 0xffff;
    writer.u8(long ? marker.longString : marker.string);
    if (long) writer.u32(bytes.length);
    else writer.u16(bytes.length);
    writer.bytes(bytes);
  } else if (value === null) {
    writer.u8(marker.null);
  } else if (value === undefined) {
    writer.u8(marker.undefined);
  } else if (value instanceof Date) {
    writer.u8(marker.date);
    writer.f64(value.getTime());
    writer.u16(0);
  } else if (Array.isArray(value)) {
    writer.u8(marker.strictArray);
    writer.u32(value.length);
    for (const item of value) writeValue(writer, item);
  } else if (value instanceof EcmaArray) {
    writer.u8(marker.ecmaArray);
    writer.u32(Object.keys(value.values).length);
    writeProperties(writer, value.values);
  } else if (typeof value === "object" && !ArrayBuffer.isView(value)) {
    writer.u8(marker.object);
    writeProperties(writer, value);
  } else {
    throw new SluiceError("input.unsupported", `AMF0 has no form for a value of type ${typeof value}`);
  }
}

function writeProperties(writer: ByteWriter, record: object): void {
  for (const [name, value] of Object.entries(record)) {
    const bytes = new TextEncoder().encode(name);
    if (bytes.length > 0xffff) throw new SluiceError("input.unsupported", "AMF0 property names have at most 65535 bytes");
    writer.u16(bytes.length);
    writer.bytes(bytes);
    writeValue(writer, value);
  }
  writer.u16(0);
  writer.u8(marker.objectEnd);
}
