use std::io::Read;

use proptest::prelude::*;

use super::*;

fn written(table: &Table) -> Vec<u8> {
    table.write(Vec::new()).unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn text_of(file: &[u8]) -> String {
    String::from_utf8(zstd::decode_all(file).unwrap()).unwrap()
}

#[test]
fn lines_are_as_documented() {
    let schema = Schema::new(["b", "a", "c"].map(|name| Column::new(name, Type::Any, "")));
    let mut builder = TableBuilder::new(&schema);
    builder
        .push_row(vec![Value::Float(2.0), Value::None, text("é\"\n")])
        .unwrap();
    builder
        .push_row(vec![Value::Float(0.1), Value::Int(2), Value::None])
        .unwrap();
    let file = written(&builder.finish());
    assert_eq!(
        text_of(&file),
        "{\"b\":2.0,\"a\":null,\"c\":\"é\\\"\\n\"}\n{\"b\":0.1,\"a\":2}\n"
    );
    let read = Table::read(&file[..]).unwrap();
    assert_eq!(column_names(&read), ["b", "a", "c"]);
    let types: Vec<&Type> = read
        .schema()
        .columns()
        .iter()
        .map(|column| &column.ty)
        .collect();
    assert_eq!(types, [&Type::Float, &Type::Int, &Type::Text]);
}

#[test]
fn a_table_without_rows_is_open_when_read() {
    let empty = TableBuilder::new(&Schema::new([Column::new("a", Type::Int, "")])).finish();
    let read = Table::read(&written(&empty)[..]).unwrap();
    assert!(read.is_empty() && read.schema().is_open());
    let axes = AxisFields::new();
    let filtered = filter(&read, &expr("model.role == 'x' && a > 1"), &context(&axes)).unwrap();
    assert!(filtered.is_empty());
}

#[test]
fn hostile_files_are_refused() {
    let mut long = b"{\"a\":1}\n{\"a\":\"".to_vec();
    long.resize(3 << 20, b'x');
    let nested = format!(
        "{{\"a\":{}1{}}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (bytes, expected) in [
        (&long[..], "line 2: longer than 1048576 bytes"),
        (
            nested.as_bytes(),
            "line 1: not a JSON object with a value for each name: recursion limit exceeded",
        ),
        (
            b"{\"a\":1}\n{\"a\":2}",
            "line 2: the file ends in the middle of it",
        ),
        (b"{\"a\":1}\n\n", "line 2: not a JSON object"),
        (b"[1]\n", "line 1: not a JSON object"),
        (b"{\"a\":1}{}\n", "line 1: not a JSON object"),
        (b"{\"a\":1e999}\n", "line 1: not a JSON object"),
        (b"{\"a\":NaN}\n", "line 1: not a JSON object"),
        (b"{\"a\":1,\"b\":2,\"a\":3}\n", "line 1: `a` is there twice"),
        (b"{\"a\":\"\xff\"}\n", "line 1: not a JSON object"),
    ] {
        let error = Table::read(&zstd(bytes)[..]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    for bytes in [&b""[..], b"{\"a\":1}\n", &zstd(b"{\"a\":1}\n")[..10]] {
        assert!(matches!(Table::read(bytes), Err(TableError::Io(_))));
    }
    let mut trailing = zstd(b"{\"a\":1}\n");
    trailing.extend_from_slice(b"garbage");
    assert!(matches!(Table::read(&trailing[..]), Err(TableError::Io(_))));
}

#[test]
fn damage_is_noticed() {
    let mut file = written(&table(&["{\"a\":1,\"b\":\"some text\"}"]));
    // So short a text is not compressed; another letter in it is still a row, and only the checksum tells.
    let at = file.windows(4).position(|bytes| bytes == b"some").unwrap();
    file[at] = b'd';
    assert!(matches!(Table::read(&file[..]), Err(TableError::Io(_))));
}

#[test]
fn small_files_of_many_cells_are_refused() {
    // A row that brings a column of its own makes a cell in each row before it.
    let wide: String = (0..2000).map(|row| format!("{{\"c{row}\":1}}\n")).collect();
    let error = Table::read(&zstd(wide.as_bytes())[..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1001: the table has more than 1000 columns"
    );
    let long = format!("{{\"a\":1,\"b\":2}}\n{}", "{}\n".repeat(50));
    let long = zstd(long.as_bytes());
    let error = Table::read_limited(&long[..], 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 51: the table has more than 100 cells"
    );
    assert_eq!(Table::read(&long[..]).unwrap().len(), 51);
}

#[test]
fn large_windows_are_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    let mut line = std::io::repeat(b' ').take(1 << 25);
    std::io::copy(&mut line, &mut encoder).unwrap();
    assert!(matches!(
        Table::read(&encoder.finish().unwrap()[..]),
        Err(TableError::Io(_))
    ));
}

#[test]
fn rows_are_read_and_written_one_by_one() {
    let schema = Schema::new([Column::new("a", Type::Int, "")]);
    let mut writer = TableWriter::new(&schema, Vec::new());
    for int in 0..3 {
        writer.push_row([&Value::Int(int)]).unwrap();
    }
    assert!(writer.push_row([&text("x")]).is_err());
    assert!(writer.push_row([]).is_err());
    let file = writer.finish().unwrap();
    let cells: Vec<Value> = TableReader::new(&file[..])
        .unwrap()
        .map(|row| row.unwrap()[0].1.clone())
        .collect();
    assert_eq!(cells, [0, 1, 2].map(Value::Int));
    let bad = zstd(b"[]\n{\"a\":1}\n");
    assert_eq!(TableReader::new(&bad[..]).unwrap().count(), 1);
    let long = TableWriter::new(&Schema::new([Column::new("a", Type::Text, "")]), Vec::new())
        .push_row([&text(&"x".repeat(MAX_LINE))]);
    assert!(matches!(long, Err(TableError::LongRow { .. })));
}

/// What is compressed as it comes says nothing else than what is compressed at its end.
#[test]
fn tables_of_every_length_come_back() {
    let schema = Schema::new([Column::new("a", Type::Text, "")]);
    for bytes in [0, 1, (1 << 16) - 20, 1 << 16, (1 << 16) + 1, 1 << 18] {
        let cells: Vec<Value> = (0..=bytes / 500)
            .map(|row| text(&format!("{row:0500}")))
            .collect();
        let mut writer = TableWriter::new(&schema, Vec::new());
        for cell in &cells {
            writer.push_row([cell]).unwrap();
        }
        let file = writer.finish().unwrap();
        let read: Vec<Value> = TableReader::new(&file[..])
            .unwrap()
            .map(|row| row.unwrap()[0].1.clone())
            .collect();
        assert_eq!(read, cells, "{bytes}");
    }
}

fn cell() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter_map("finite", Value::float),
        "\\PC{0,8}".prop_map(Value::Text),
    ];
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{1,2}", inner, 0..3).prop_map(Value::Record),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in prop::collection::vec(prop::collection::vec(cell(), 3), 1..20)) {
        let schema = Schema::new(["z", "ä \"", "a"].map(|name| Column::new(name, Type::Any, "")));
        let mut builder = TableBuilder::new(&schema);
        for row in rows {
            builder.push_row(row).unwrap();
        }
        let table = builder.finish();
        let file = written(&table);
        let read = Table::read(&file[..]).unwrap();
        prop_assert_eq!(&read.columns, &table.columns);
        prop_assert_eq!(column_names(&read), column_names(&table));
        prop_assert_eq!(written(&read), file);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Table::read(&bytes[..]);
        let _ = Table::read(&zstd(&bytes)[..]);
    }
}
