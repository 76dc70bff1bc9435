/** A fixed number of bits, stored as PostgreSQL stores them: the first in the highest bit of the first byte. */
export class Bits {
  readonly length: number;
  readonly bits: Uint8Array;
  count = 0;

  constructor(length: number) {
    this.length = length;
    this.bits = new Uint8Array((length + 7) >> 3);
  }

  /** From PostgreSQL's text form: zeros and ones. */
  static parse(text: string): Bits {
    const result = new Bits(text.length);
    for (let index = 0; index < text.length; index += 1) {
      if (text.charCodeAt(index) === 49) {
        result.set(index);
      }
    }
    return result;
  }

  has(index: number): boolean {
    return (this.bits[index >> 3]! & (128 >> (index & 7))) !== 0;
  }

  /** Sets one bit; false when it was set already. */
  set(index: number): boolean {
    if (this.has(index)) {
      return false;
    }
    this.bits[index >> 3]! |= 128 >> (index & 7);
    this.count += 1;
    return true;
  }

  clear(index: number): void {
    if (this.has(index)) {
      this.bits[index >> 3]! &= ~(128 >> (index & 7));
      this.count -= 1;
    }
  }

  get full(): boolean {
    return this.count === this.length;
  }

  copy(): Bits {
    const result = new Bits(this.length);
    result.bits.set(this.bits);
    result.count = this.count;
    return result;
  }

  /** Zeros and ones, as PostgreSQL reads them. */
  toString(): string {
    let text = '';
    for (let index = 0; index < this.length; index += 1) {
      text += this.has(index) ? '1' : '0';
    }
    return text;
  }
}
