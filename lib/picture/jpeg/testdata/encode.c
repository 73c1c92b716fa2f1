/* Writes a JPEG file with libjpeg. Neither its own programs nor Pillow offer most of these choices.
 *
 * usage: encode WIDTH HEIGHT SPACE QUALITY FACTORS MODE RESTART MARKERS SCANS < SAMPLES > FILE
 *
 * SPACE      grey, rgb, ycc, cmyk or ycck. The samples on standard input are grey, RGB (for rgb and ycc) or CMYK.
 * FACTORS    of all components: 2x2,1x1,1x1
 * MODE       letters: p progressive, a arithmetic coding, o optimised Huffman tables; - for none
 * RESTART    units between restart markers
 * MARKERS    letters: j JFIF, a Adobe, - none, d the default
 * SCANS      a script: components Ss Se Ah Al, separated by commas and slashes: "0 1 2,0,0,0,0/0,1,63,0,0"; - for none
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

int main(int argc, char **argv) {
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr err;
  jpeg_scan_info scans[64];
  if (argc != 10) return 2;
  c.err = jpeg_std_error(&err);
  jpeg_create_compress(&c);
  jpeg_stdio_dest(&c, stdout);
  c.image_width = atoi(argv[1]);
  c.image_height = atoi(argv[2]);
  const char *names[] = {"grey", "rgb", "ycc", "cmyk", "ycck"};
  J_COLOR_SPACE in[] = {JCS_GRAYSCALE, JCS_RGB, JCS_RGB, JCS_CMYK, JCS_CMYK};
  J_COLOR_SPACE out[] = {JCS_GRAYSCALE, JCS_RGB, JCS_YCbCr, JCS_CMYK, JCS_YCCK};
  int space = 0;
  while (strcmp(names[space], argv[3]) != 0) space++;
  c.in_color_space = in[space];
  c.input_components = in[space] == JCS_GRAYSCALE ? 1 : in[space] == JCS_RGB ? 3 : 4;
  jpeg_set_defaults(&c);
  jpeg_set_colorspace(&c, out[space]);
  jpeg_set_quality(&c, atoi(argv[4]), FALSE);
  char *f = argv[5];
  for (int i = 0; i < c.num_components; i++, f += 4) {
    c.comp_info[i].h_samp_factor = f[0] - '0';
    c.comp_info[i].v_samp_factor = f[2] - '0';
  }
  c.optimize_coding = strchr(argv[6], 'o') != NULL;
  c.arith_code = strchr(argv[6], 'a') != NULL;
  if (strchr(argv[6], 'p')) jpeg_simple_progression(&c);
  c.restart_interval = atoi(argv[7]);
  if (strcmp(argv[8], "d") != 0) {
    c.write_JFIF_header = strchr(argv[8], 'j') != NULL;
    c.write_Adobe_marker = strchr(argv[8], 'a') != NULL;
  }
  if (strcmp(argv[9], "-") != 0) {
    c.num_scans = 0;
    for (char *s = strtok(argv[9], "/"); s; s = strtok(NULL, "/")) {
      jpeg_scan_info *scan = &scans[c.num_scans++];
      scan->comps_in_scan = 0;
      for (; *s != ','; s++)
        if (*s != ' ') scan->component_index[scan->comps_in_scan++] = *s - '0';
      sscanf(s, ",%d,%d,%d,%d", &scan->Ss, &scan->Se, &scan->Ah, &scan->Al);
    }
    c.scan_info = scans;
  }
  jpeg_start_compress(&c, TRUE);
  JSAMPLE *row = malloc(c.image_width * c.input_components);
  while (c.next_scanline < c.image_height) {
    if (fread(row, c.input_components, c.image_width, stdin) != c.image_width) return 3;
    jpeg_write_scanlines(&c, &row, 1);
  }
  jpeg_finish_compress(&c);
  return 0;
}
