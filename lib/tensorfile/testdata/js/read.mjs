// Reads a tensor file with Apache Arrow's own JavaScript implementation and prints what it found as JSON: metadata and,
// per column, its Arrow type, values per row, metadata, number of values, and the SHA-256 of its little-endian values.
//
//   node read.mjs FILE
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DataType, tableFromIPC } from 'apache-arrow';

const table = tableFromIPC(readFileSync(process.argv[2]));
const columns = table.schema.fields.map((field, i) => {
  const hash = createHash('sha256');
  const tensor = DataType.isFixedSizeList(field.type);
  let values = 0;
  for (const chunk of table.getChildAt(i).data) {
    const leaf = tensor ? chunk.children[0] : chunk;
    const array = leaf.values.subarray(0, leaf.length);
    values += array.length;
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return {
    name: field.name,
    type: String(tensor ? field.type.children[0].type : field.type),
    listSize: tensor ? field.type.listSize : 0,
    metadata: Object.fromEntries(field.metadata),
    values,
    sha256: hash.digest('hex'),
  };
});
console.log(JSON.stringify({ rows: table.numRows, metadata: Object.fromEntries(table.schema.metadata), columns }));
