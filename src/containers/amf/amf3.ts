import { SluiceError } from "../../base/errors.ts";
import { AmfReader, AmfReferences, emptyRecord } from "./amf-reader.ts";

/** Type markers of AMF 3 (Action Message Format 3, 2013, section 3.1). */
const marker = {
  undefined: 0x00,
  null: 0x01,
  false: 0x02,
  true: 0x03,
  integer: 0x04,
  double: 0x05,
  string: 0x06,
  xmlDocument: 0x07,
  date: 0x08,
  array: 0x09,
  object: 0x0a,
  xml: 0x0b,
  byteArray: 0x0c,
  vectorInt: 0x0d,
  vectorUint: 0x0e,
  vectorDouble: 0x0f,
  vectorObject: 0x10,
  dictionary: 0x11,
} as const;

/** Names of an object's sealed members; `dynamic` objects go on with name and value pairs. */
type Traits = { readonly members: readonly string[]; readonly dynamic: boolean; readonly externalizable: string | undefined };

type Context = {
  readonly reader: AmfReader;
  readonly objects: AmfReferences;
  readonly strings: string[];
  readonly traits: Traits[];
};

/**
 * All values of an AMF 3 body. As in `decodeAmf0`; byte arrays become `Uint8Array` (a copy), vectors become arrays, an
 * array with named parts becomes a record. Externalizable objects are refused except Flex's ArrayCollection and
 * ObjectProxy, which stand for the value inside. Throws `SluiceError` "input.*".
 */
export function decodeAmf3(bytes: Uint8Array): unknown[] {
  const context = createContext(new AmfReader(bytes));
  const values: unknown[] = [];
  while (context.reader.remaining > 0) values.push(readValue(context));
  return values;
}

/** One value, with reference tables of its own: what follows the switch marker inside an AMF 0 message. */
export function readAmf3(reader: AmfReader): unknown {
  return readValue(createContext(reader));
}

function createContext(reader: AmfReader): Context {
  return { reader, objects: new AmfReferences(reader), strings: [], traits: [] };
}

function readValue(context: Context): unknown {
  const { reader, objects } = context;
  reader.count();
  const type = reader.u8();
  switch (type) {
    case marker.undefined:
      return undefined;
    case marker.null:
      return null;
    case marker.false:
      return false;
    case marker.true:
      return true;
    case marker.integer:
      return (takeU29(reader) << 3) >> 3; // 29 bits, signed
    case marker.double:
      return reader.f64();
    case marker.string:
      return readString(context);
    case marker.xml:
    case marker.xmlDocument:
      return complex(context, (length) => {
        const text = reader.text(length);
        return objects.define(text, () => {});
      });
    case marker.date:
      return complex(context, () => objects.define(new Date(reader.f64()), () => {}));
    case marker.byteArray:
      return complex(context, (length) => objects.define(reader.bytes(length).slice(), () => {}));
    case marker.array:
      return complex(context, (length) => readArray(context, length));
    case marker.object:
      return complex(context, (flags) => readObject(context, flags));
    case marker.vectorInt:
      return complex(context, (length) => readVector(context, length, 4, () => reader.i32()));
    case marker.vectorUint:
      return complex(context, (length) => readVector(context, length, 4, () => reader.u32()));
    case marker.vectorDouble:
      return complex(context, (length) => readVector(context, length, 8, () => reader.f64()));
    case marker.vectorObject:
      return complex(context, (length) => {
        reader.u8(); // fixed length or not
        readString(context); // class of the items
        return fill(context, length, 1, () => readValue(context));
      });
    case marker.dictionary:
      return complex(context, (length) => readDictionary(context, length));
    default:
      throw new SluiceError("input.invalid", `AMF3 type marker 0x${type.toString(16)} is unknown`);
  }
}

/** Unsigned integer of 1 to 4 bytes (section 1.3.1); the fourth byte has eight bits. */
function takeU29(reader: AmfReader): number {
  let value = 0;
  for (let index = 0; index < 3; index += 1) {
    const byte = reader.u8();
    value = (value << 7) | (byte & 0x7f);
    if (byte < 0x80) return value;
  }
  return (value << 8) | reader.u8();
}

function readString(context: Context): string {
  const header = takeU29(context.reader);
  if ((header & 1) === 0) {
    const known = context.strings[header >> 1];
    if (known === undefined) throw new SluiceError("input.invalid", `AMF3 string reference ${header >> 1} points at nothing`);
    return known;
  }
  const text = context.reader.text(header >> 1);
  if (text !== "") context.strings.push(text); // the empty string is never sent by reference
  return text;
}

/** Reads the header that tells a reference from a value; `read` gets the bits above the flag. */
function complex(context: Context, read: (bits: number) => unknown): unknown {
  const header = takeU29(context.reader);
  return (header & 1) === 0 ? context.objects.resolve(header >> 1) : read(header >> 1);
}

function readArray(context: Context, length: number): unknown {
  const { reader, objects } = context;
  // The associative part comes first; which of the two JavaScript forms fits is known from its first name.
  const first = readString(context);
  if (first === "") return fill(context, length, 1, () => readValue(context));
  reader.expect(length, 1);
  return objects.define(emptyRecord(), (record) => {
    for (let name = first; name !== ""; name = readString(context)) record[name] = readValue(context);
    for (let index = 0; index < length; index += 1) record[index] = readValue(context);
  });
}

function readVector(context: Context, length: number, size: number, read: () => unknown): unknown {
  context.reader.u8(); // fixed length or not
  context.reader.count(length);
  return fill(context, length, size, read);
}

function fill(context: Context, length: number, least: number, read: () => unknown): unknown {
  context.reader.expect(length, least);
  return context.objects.define([] as unknown[], (list) => {
    for (let index = 0; index < length; index += 1) list.push(read());
  });
}

function readObject(context: Context, flags: number): unknown {
  const traits = readTraits(context, flags);
  if (traits.externalizable !== undefined) return readExternalizable(context, traits.externalizable);
  return context.objects.define(emptyRecord(), (record) => {
    for (const name of traits.members) record[name] = readValue(context);
    if (!traits.dynamic) return;
    for (let name = readString(context); name !== ""; name = readString(context)) record[name] = readValue(context);
  });
}

/** `flags` is the object header without its lowest bit (section 3.12): bit 0 traits here, bit 1 externalizable, bit 2 dynamic. */
function readTraits(context: Context, flags: number): Traits {
  if ((flags & 1) === 0) {
    const known = context.traits[flags >> 1];
    if (!known) throw new SluiceError("input.invalid", `AMF3 traits reference ${flags >> 1} points at nothing`);
    context.reader.count(known.members.length);
    return known;
  }
  const className = readString(context);
  const externalizable = (flags & 2) !== 0;
  const count = externalizable ? 0 : flags >> 3;
  context.reader.expect(count, 1);
  context.reader.count(count);
  const members: string[] = [];
  for (let index = 0; index < count; index += 1) members.push(readString(context));
  const traits = { members, dynamic: (flags & 4) !== 0, externalizable: externalizable ? className : undefined };
  context.traits.push(traits);
  return traits;
}

function readExternalizable(context: Context, className: string): unknown {
  if (!/^flex\.messaging\.io\.(ArrayCollection|ArrayList|ObjectProxy)$/.test(className))
    throw new SluiceError("input.unsupported", "AMF3 externalizable object of a class whose form is not known");
  const holder: { value?: unknown } = {};
  context.objects.define(holder, (box) => {
    box.value = readValue(context);
  });
  return holder.value;
}

function readDictionary(context: Context, length: number): unknown {
  const { reader, objects } = context;
  reader.u8(); // weak keys or not
  reader.expect(length, 2);
  return objects.define(emptyRecord(), (record) => {
    for (let index = 0; index < length; index += 1) {
      const key = readValue(context);
      record[typeof key === "object" ? `[${index}]` : String(key)] = readValue(context);
    }
  });
}
